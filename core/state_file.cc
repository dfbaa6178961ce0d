#include "core/state_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "core/checksum.h"
#include "core/model_format.h"

namespace rill {
namespace {

constexpr char kMagic[8] = {'R', 'I', 'L', 'L', 'S', 'T', '\x1a', '\n'};
constexpr std::uint32_t kVersion = 2;  // 2: values as tiles

/// Magic, version and checksum keep their places in every version, so that a reader can name another one.
struct SlotHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t header_crc32;  ///< of the 512 bytes, with zero in this place
  std::uint64_t generation;
  std::uint64_t payload_bytes;
  std::uint32_t payload_crc32;
  std::uint32_t reserved;
  StateIdentity identity;
  char zeros[StateFile::kHeaderBytes - 40 - sizeof(StateIdentity)];
};
static_assert(sizeof(SlotHeader) == StateFile::kHeaderBytes && std::is_trivially_copyable_v<SlotHeader>);
static_assert(std::endian::native == std::endian::little, "states are little-endian");

std::uint32_t checksum_of(SlotHeader header) {
  header.header_crc32 = 0;
  return crc32(std::as_bytes(std::span(&header, 1)));
}

/// What stands where a slot's header should be.
enum class Found : std::uint8_t {
  kZeros,    ///< room that was taken on the disk, no more
  kBlank,    ///< a header without a payload: no state was written here yet
  kHeader,   ///< a state's
  kDamaged,  ///< ours once
  kForeign,  ///< anything else
  kUnread,   ///< the disk does not give it out
};

bool is_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

Found look_at(const SlotHeader& header) {
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0) {
    return is_zero(std::as_bytes(std::span(&header, 1))) ? Found::kZeros : Found::kForeign;
  }
  // No file gets to the upper half of generations by saving, so that the next one never wraps.
  if (checksum_of(header) != header.header_crc32 || header.generation > UINT64_MAX / 2) return Found::kDamaged;
  return header.generation == 0 ? Found::kBlank : Found::kHeader;
}

Status refuse(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = where,
                    .what = what,
                    .expected = expected,
                    .remedy = text("run it as it was begun, or name another file; this one is left as it is")});
}

template <std::size_t kCapacity>
bool equal(const char (&a)[kCapacity], const char (&b)[kCapacity]) {
  return std::memcmp(a, b, kCapacity) == 0;
}

/// kBadInput names the first thing in which a whole slot is not of this run.
Status check_identity(const Text& where, const SlotHeader& header, const StateIdentity& ours,
                      std::uint64_t payload_bytes) {
  const StateIdentity& theirs = header.identity;
  if (header.version != kVersion) {
    return refuse(where, text("a state of version ", header.version), text("version ", kVersion));
  }
  if (!equal(theirs.purpose, ours.purpose)) {
    return refuse(where, text("a state of `rill ", format::name_of(theirs.purpose), "`"),
                  text("one of `rill ", format::name_of(ours.purpose), "`"));
  }
  if (theirs.model_crc32 != ours.model_crc32 || theirs.model_bytes != ours.model_bytes) {
    return refuse(where,
                  text("a state of another model, ", format::name_of(theirs.model), " of ", theirs.model_bytes,
                       " bytes, header checksum ", theirs.model_crc32),
                  text(format::name_of(ours.model), " of ", ours.model_bytes, " bytes, checksum ", ours.model_crc32));
  }
  if (!equal(theirs.policy, ours.policy) || theirs.sinks != ours.sinks || theirs.window != ours.window) {
    return refuse(where,
                  text("a state of policy ", format::name_of(theirs.policy), " with ", theirs.sinks,
                       " sinks and window ", theirs.window),
                  text(format::name_of(ours.policy), ", ", ours.sinks, " sinks, window ", ours.window));
  }
  if (header.payload_bytes != payload_bytes) {
    return refuse(where, text("a state of ", header.payload_bytes, " bytes"), text(payload_bytes));
  }
  return {};
}

SlotHeader header_of(const StateIdentity& identity, std::uint64_t generation, std::uint64_t payload_bytes,
                     std::uint32_t payload_crc32) {
  SlotHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.generation = generation;
  header.payload_bytes = payload_bytes;
  header.payload_crc32 = payload_crc32;
  header.identity = identity;
  header.header_crc32 = checksum_of(header);
  return header;
}

}  // namespace

/// Both headers and what they are.
struct StateFile::Slots {
  std::array<SlotHeader, 2> headers;
  std::array<Found, 2> found;
  Status unread;  ///< why the disk did not give out a part of them

  bool both(Found a, Found b) const { return (found[0] == a || found[0] == b) && (found[1] == a || found[1] == b); }
};

Result<StateFile> StateFile::open(std::string_view path, const StateIdentity& identity, std::size_t payload_bytes,
                                  std::span<std::byte> slot) {
  StateFile state;
  RILL_ASSIGN(state.file_, LockedFile::open(path));
  state.identity_ = identity;
  state.payload_bytes_ = payload_bytes;
  Slots slots{};
  for (std::size_t i = 0; i < 2; ++i) {
    const Status read = state.file_.read(i * slot.size(), std::as_writable_bytes(std::span(&slots.headers[i], 1)));
    slots.found[i] = read.ok() ? look_at(slots.headers[i]) : Found::kUnread;
    if (!read.ok()) slots.unread = read;
    // Where another run's second slot begins is not known here, so it is the first that names it.
    if (slots.found[i] == Found::kHeader || slots.found[i] == Found::kBlank) {
      RILL_TRY(check_identity(state.file_.name(), slots.headers[i], identity, payload_bytes));
    }
  }
  RILL_TRY(state.choose(slots, slot));
  // Whoever wrote it may have been killed before the disk had it, and the next save takes the other slot's place.
  if (state.found_) RILL_TRY(state.file_.sync());
  RILL_TRY(state.file_.reserve(2 * slot.size()));
  RILL_TRY(state.mark_as_ours(slots, slot.size()));
  return state;
}

/// Reads both slots, the newest whole one last. kBadInput if there is none although there should be.
Status StateFile::choose(Slots& slots, std::span<std::byte> slot) {
  const auto is_state = [&](std::size_t i) { return slots.found[i] == Found::kHeader; };
  const bool is_b_newer = is_state(1) && (!is_state(0) || slots.headers[1].generation > slots.headers[0].generation);
  newest_ = is_b_newer ? 1 : 0;
  bool is_other_whole = read_if_whole(slots, 1 - newest_, slot);
  found_ = read_if_whole(slots, newest_, slot);
  if (!found_) {
    newest_ = 1 - newest_;
    is_other_whole = false;
    found_ = read_if_whole(slots, newest_, slot);
  }
  if (!found_ || !is_state(newest_)) return begin_anew(slots, slot);
  generation_ = slots.headers[newest_].generation;

  RILL_ASSIGN(const std::uint64_t file_bytes, file_.size());
  const char letter = newest_ == 0 ? 'A' : 'B';
  if (file_bytes < 2 * slot.size()) {
    notice_ = text(file_.name(), ": ", file_bytes, " bytes, expected ", 2 * slot.size(), "; slot ", letter,
                   " is whole and is used, save ", generation_);
  } else if (!is_other_whole) {
    notice_ =
        text(file_.name(), ": a slot is damaged (its save was cut off, it was altered, or the disk has lost it); slot ",
             letter, " is whole and is used, save ", generation_);
  }
  return {};
}

/// Where no slot is whole: Ok if nothing that was ever saved is lost by it.
Status StateFile::begin_anew(const Slots& slots, std::span<std::byte> slot) {
  found_ = false;
  newest_ = 1;
  if (!slots.unread.ok()) return slots.unread;
  if (slots.both(Found::kZeros, Found::kZeros)) {
    RILL_ASSIGN(const std::uint64_t file_bytes, file_.size());
    bool is_new = file_bytes <= 2 * slot.size();
    for (std::uint64_t offset = 0; is_new && offset < file_bytes; offset += slot.size()) {
      RILL_TRY(file_.read(offset, slot));
      is_new = is_zero(slot);
    }
    if (is_new) return {};  // empty, or its making was cut off
    return refuse(file_.name(), text("no state of Rill"), text("one, or a path where no file is yet"));
  }
  if (slots.both(Found::kZeros, Found::kBlank)) return {};
  if (slots.found[0] == Found::kForeign && slots.found[1] != Found::kDamaged) {
    return refuse(file_.name(), text("no state of Rill"), text("one, or a path where no file is yet"));
  }
  if (slots.found[1] == Found::kBlank && slots.found[0] != Found::kForeign) {
    notice_ = text(file_.name(), ": its first save was cut off, so there is nothing to go on from; it begins anew");
    return {};
  }
  return refuse(file_.name(), text("neither of its two slots is whole"), text("at least one"));
}

bool StateFile::read_if_whole(Slots& slots, std::size_t index, std::span<std::byte> slot) const {
  if (slots.found[index] != Found::kHeader && slots.found[index] != Found::kBlank) return false;
  if (const Status read = file_.read(index * slot.size(), slot); !read.ok()) {
    slots.unread = read;
    return false;
  }
  if (slots.found[index] == Found::kBlank) return is_zero(payload_of(slot));
  return crc32(payload_of(slot).first(payload_bytes_)) == slots.headers[index].payload_crc32;
}

/// Blank headers where there is nothing, so that a first save that is cut off anywhere is known as one.
Status StateFile::mark_as_ours(const Slots& slots, std::uint64_t slot_bytes) {
  if (slots.found[0] != Found::kZeros && slots.found[1] != Found::kZeros) return {};
  const SlotHeader blank = header_of(identity_, /*generation=*/0, payload_bytes_, /*payload_crc32=*/0);
  for (std::size_t i = 0; i < 2; ++i) {
    if (slots.found[i] == Found::kZeros) {
      RILL_TRY(file_.write(i * slot_bytes, std::as_bytes(std::span(&blank, 1))));
    }
  }
  return file_.sync();
}

Status StateFile::write(std::span<std::byte> slot) {
  const SlotHeader header =
      header_of(identity_, generation_ + 1, payload_bytes_, crc32(payload_of(slot).first(payload_bytes_)));
  std::memcpy(slot.data(), &header, sizeof header);
  const std::size_t index = 1 - newest_;
  RILL_TRY(file_.write(index * slot.size(), slot));
  RILL_TRY(file_.sync());
  newest_ = index;
  ++generation_;
  return {};
}

}  // namespace rill
