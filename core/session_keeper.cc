#include "core/session_keeper.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <signal.h>

#include "core/model_format.h"
#include "platform/worker_pool.h"

namespace rill {
namespace {

template <std::size_t kCapacity>
void put_start_of_name(char (&field)[kCapacity], std::string_view name) {
  format::put_name(field, name.substr(0, kCapacity - 1));
}

StateIdentity identity_of(const Engine& engine, std::string_view purpose) {
  const ModelFile& model = engine.model();
  const CachePolicy& policy = engine.plan().options.policy;
  format::FileHeader header{};
  std::memcpy(&header, model.bytes().data(), sizeof header);  // open() has checked that it is there
  StateIdentity identity;
  put_start_of_name(identity.purpose, purpose);
  put_start_of_name(identity.policy, policy.name);
  identity.sinks = policy.sinks;
  identity.window = policy.window;
  identity.model_bytes = header.file_bytes;
  identity.model_crc32 = header.header_crc32;
  const std::size_t slash = model.name().find_last_of('/');
  put_start_of_name(identity.model, slash == std::string_view::npos ? model.name() : model.name().substr(slash + 1));
  return identity;
}

}  // namespace

Result<bool> SessionKeeper::open(Engine& engine, std::size_t session, std::string_view path, std::string_view purpose) {
  const std::span<std::byte> slot = engine.state_snapshot();
  if (slot.empty() || is_open()) {
    return bad_usage({.where = text(path),
                      .what = text("the engine has no room to keep a state"),
                      .expected = text("EngineOptions::keeps_state, and one keeper"),
                      .remedy = {}});
  }
  RILL_TRY(engine.check_session(session));
  if (purpose.size() >= sizeof StateIdentity::purpose) {
    return bad_usage({.where = text(path),
                      .what = text("the purpose \"", purpose, "\""),
                      .expected = text("at most ", sizeof StateIdentity::purpose - 1, " characters"),
                      .remedy = {}});
  }
  Session& kept = engine.session(session);
  const std::size_t session_bytes = kept.state_bytes();
  RILL_ASSIGN(file_, StateFile::open(path, identity_of(engine, purpose), session_bytes + kStateNoteBytes, slot));
  engine_ = &engine;
  session_ = &kept;
  // Before the session is touched: where it cannot be kept, it is as it was.
  if (const Status status = start_thread(); !status.ok()) {
    engine_ = nullptr;
    file_ = StateFile();
    return status;
  }
  if (!file_.found()) return false;
  const std::span<const std::byte> payload = StateFile::payload_of(slot);
  if (const Status status = kept.restore(payload.first(session_bytes)); !status.ok()) {
    close();
    return bad_input({.where = text(path), .what = text(status.message()), .expected = {}, .remedy = {}});
  }
  std::ranges::copy(payload.subspan(session_bytes, kStateNoteBytes), engine.state_note().begin());
  return true;
}

Status SessionKeeper::start_thread() {
  // The thread takes no signals: they are the program's, and its thread's stack is small.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  phase_ = kWriting;  // until it has begun: whatever a thread's own beginning takes is taken before the first token
  const std::span<std::byte> stack = engine_->keeper_stack();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  int error = pthread_attr_setstack(&attributes, stack.data(), stack.size());
  if (error == 0) error = pthread_create(&thread_, &attributes, thread_main, this);
  pthread_attr_destroy(&attributes);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error == 0) {
    wait_while(kWriting);
    return {};
  }
  errno = error;
  return system_failure(text("the thread that saves the state"), "starting it");
}

SessionKeeper::~SessionKeeper() { close(); }

void SessionKeeper::close() {
  if (!is_open()) return;
  wait_while(kWriting);
  enter(kEnding);
  pthread_join(thread_, nullptr);
  engine_ = nullptr;
  file_ = StateFile();
}

void SessionKeeper::wait_while(Phase phase) const {
  while (phase_.load(std::memory_order_acquire) == phase) phase_.wait(phase, std::memory_order_acquire);
}

void SessionKeeper::enter(Phase phase) {
  // In this order for all to see, or who begins to wait in between is neither seen by notify_all() nor sees the phase.
  phase_.store(phase, std::memory_order_seq_cst);
  phase_.notify_all();
}

void SessionKeeper::save() {
  if (!is_open() || !settle().ok()) return;
  const std::span<std::byte> payload = StateFile::payload_of(engine_->state_snapshot());
  session_->save(payload.first(session_->state_bytes()));
  std::ranges::copy(note(), payload.subspan(session_->state_bytes()).begin());
  enter(kWriting);
}

Status SessionKeeper::settle() {
  wait_while(kWriting);
  return status_;
}

void* SessionKeeper::thread_main(void* keeper) {
  static_cast<SessionKeeper*>(keeper)->serve();
  return nullptr;
}

void SessionKeeper::serve() {
  for (;;) {
    enter(kIdle);
    wait_while(kIdle);
    if (phase_.load(std::memory_order_acquire) == kEnding) return;
    status_ = file_.write(engine_->state_snapshot());
  }
}

}  // namespace rill
