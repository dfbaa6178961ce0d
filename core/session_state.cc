#include "core/session_state.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "core/engine_state.h"

namespace rill {
namespace {

static_assert(std::endian::native == std::endian::little, "saved sessions are little-endian");

/// A session's numbers. No padding.
struct Counts {
  std::uint64_t position = 0;  ///< StreamCache::position
  std::uint64_t forgotten = 0;
  std::uint64_t remembered = 0;
  Occupancy::Counts occupancy;
};
static_assert(sizeof(Counts) == 5 * sizeof(std::uint64_t));

/// One session's part of an item that holds all sessions', one after the other.
template <typename T>
std::span<T> part_of(std::span<T> all, std::size_t session, std::size_t sessions) {
  const std::size_t count = all.size() / sessions;
  return all.subspan(session * count, count);
}

/// Calls visit(bytes, are_scales) for each run of a session's cache, in the order in which they are saved.
template <typename Visit>
void for_each_run(const StreamCache& cache, std::size_t sessions, Visit visit) {
  const Arena& arena = *cache.arena;
  for (const SlotItems* items : {&cache.items.sinks, &cache.items.ring, &cache.items.local_ring}) {
    for (const Item<std::int8_t>& item : {items->keys, items->values}) {
      visit(std::as_writable_bytes(part_of(arena[item], cache.session, sessions)), false);
    }
    for (const Item<float>& item : {items->key_scales, items->value_scales}) {
      visit(std::as_writable_bytes(part_of(arena[item], cache.session, sessions)), true);
    }
  }
}

/// Takes pieces off the front of some bytes.
template <typename Byte>
class Pieces {
 public:
  explicit Pieces(std::span<Byte> bytes) : rest_(bytes) {}

  std::span<Byte> next(std::size_t size) {
    const std::span<Byte> piece = rest_.first(size);
    rest_ = rest_.subspan(size);
    return piece;
  }
  /// The next piece as a value. There is no object in the bytes yet, so it is copied.
  template <typename T>
  T take() {
    T value;
    std::memcpy(static_cast<void*>(&value), next(sizeof(T)).data(), sizeof(T));
    return value;
  }
  template <typename T>
  void put(const T& value) {
    std::memcpy(next(sizeof(T)).data(), &value, sizeof(T));
  }
  void put(std::span<const std::byte> bytes) {
    if (!bytes.empty()) std::memcpy(next(bytes.size()).data(), bytes.data(), bytes.size());
  }

 private:
  std::span<Byte> rest_;
};

bool all_finite(std::span<const std::byte> floats) {
  for (; !floats.empty(); floats = floats.subspan(sizeof(float))) {
    float value = 0;
    std::memcpy(&value, floats.data(), sizeof value);
    if (!std::isfinite(value)) return false;
  }
  return true;
}

Status impossible(std::string_view what) {
  return bad_input({.where = text("saved session"),
                    .what = text(what),
                    .expected = text("what a session of this model and policy can have"),
                    .remedy = text("the state was altered; begin anew without it")});
}

}  // namespace

Size session_state_bytes(const EnginePlan& plan) {
  const std::uint64_t sessions = plan.options.sessions;
  Size bytes =
      Size(sizeof(Counts)) + Size(sizeof(Sampler::State)) + Size(plan.history.count / sessions) * Size(sizeof(Token));
  for (const SlotItems* items : {&plan.cache.sinks, &plan.cache.ring, &plan.cache.local_ring}) {
    bytes = bytes + Size(2) * Size(items->keys.count / sessions) +
            Size(2 * sizeof(float)) * Size(items->key_scales.count / sessions);
  }
  return bytes;
}

std::size_t Session::state_bytes() const { return static_cast<std::size_t>(session_state_bytes(engine_->plan).value); }

void Session::save(std::span<std::byte> state) const {
  Pieces<std::byte> out(state);
  out.put(Counts{.position = cache_.position,
                 .forgotten = forgotten_,
                 .remembered = remembered_,
                 .occupancy = cache_.occupancy.counts()});
  out.put(sampler_.state());
  out.put(std::as_bytes(history_));
  for_each_run(cache_, engine_->plan.options.sessions, [&](std::span<const std::byte> run, bool) { out.put(run); });
}

Status Session::restore(std::span<const std::byte> state) {
  if (state.size() != state_bytes()) return impossible(text(state.size(), " bytes").view());
  Pieces<const std::byte> in(state);
  const auto counts = in.take<Counts>();
  const auto sampler = in.take<Sampler::State>();
  const std::uint32_t vocabulary = engine_->weights.config.vocabulary;
  if (!cache_.occupancy.allows(counts.occupancy)) return impossible("more tokens in the cache than it holds");
  if (counts.remembered > history_.size()) return impossible("more tokens to recompute than the window has");
  if (!sampler.is_sound(vocabulary)) return impossible("a sampler with tokens or a generator out of range");
  const std::span<const std::byte> history = in.next(history_.size_bytes());
  Pieces<const std::byte> tokens(history);
  for (std::uint64_t i = 0; i < counts.remembered; ++i) {
    if (tokens.take<Token>() >= vocabulary) return impossible("a token to recompute that the vocabulary lacks");
  }
  Pieces<const std::byte> checked = in;
  bool is_finite = true;
  for_each_run(cache_, engine_->plan.options.sessions, [&](std::span<const std::byte> run, bool are_scales) {
    const std::span<const std::byte> saved = checked.next(run.size());
    if (are_scales && !all_finite(saved)) is_finite = false;
  });
  if (!is_finite) return impossible("a scale in the cache that is no finite number");

  // From here on nothing fails.
  cache_.occupancy.restore(counts.occupancy);
  cache_.position = counts.position;
  forgotten_ = counts.forgotten;
  remembered_ = static_cast<std::size_t>(counts.remembered);
  sampler_.restore(sampler);
  lookup_.forget();
  if (engine_->drafted.session == this) engine_->drafted.session = nullptr;
  if (!history.empty()) std::memcpy(history_.data(), history.data(), history.size());
  for_each_run(cache_, engine_->plan.options.sessions, [&](std::span<std::byte> run, bool) {
    if (!run.empty()) std::memcpy(run.data(), in.next(run.size()).data(), run.size());
  });
  return {};
}

}  // namespace rill
