#pragma once
// Keeps a session in a file while it goes on: the session is copied between two tokens, and a thread of its own
// computes the checksum, writes and waits for the disk.
//
//   SessionKeeper keeper;
//   Result<bool> restored = keeper.open(engine, 0, "talk.state", "chat");   true: session and note are as they were
//   ... keeper.save() between any two tokens ...  keeper.settle() where it has to be on the disk before going on

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <pthread.h>

#include "core/engine.h"
#include "core/state_file.h"
#include "platform/status.h"

namespace rill {

/// One session's file and the thread that writes it. One caller at a time; nothing is allocated after open(). Stays
/// where it is, since its thread knows its place.
class SessionKeeper {
 public:
  SessionKeeper() = default;
  SessionKeeper(const SessionKeeper&) = delete;
  SessionKeeper& operator=(const SessionKeeper&) = delete;
  /// Waits for the save that is on its way.
  ~SessionKeeper();

  /// Opens or creates the file and, if a state is in it, makes the session and note() what was saved. Call once.
  /// @param engine   started with keeps_state, borrowed for the keeper's life; one keeper an engine
  /// @param purpose  what keeps the state, part of its identity: at most 15 characters
  /// @returns true if there was a state.
  /// Errors are those of StateFile::open() and Session::restore(): after kFailed the session can go on without a
  /// state; it is then as it was, and save() does nothing.
  Result<bool> open(Engine& engine, std::size_t session, std::string_view path, std::string_view purpose);

  bool is_open() const { return engine_ != nullptr; }
  /// What is saved along with the session, [kStateNoteBytes]: the caller's, zeros in a new state.
  std::span<std::byte> note() { return engine_->state_note(); }
  /// What was wrong with the file although it could be used; empty in most cases.
  const Text& notice() const { return file_.notice(); }

  /// True while a save is on its way to the disk.
  bool is_busy() const { return phase_.load(std::memory_order_acquire) == kWriting; }
  /// Copies session and note and has them written; waits only for the save before it. After a failure: does nothing.
  void save();
  /// Waits until the last save is on the disk. @returns why saving failed, if it did; from then on nothing is saved.
  Status settle();

 private:
  enum Phase : std::uint32_t { kIdle, kWriting, kEnding };
  static void* thread_main(void* keeper);
  void serve();
  Status start_thread();
  void close();
  void wait_while(Phase phase) const;
  void enter(Phase phase);

  Engine* engine_ = nullptr;
  Session* session_ = nullptr;
  StateFile file_;
  pthread_t thread_{};
  std::atomic<std::uint32_t> phase_{kIdle};
  Status status_;  // of the writing thread's last save; the caller reads it only when it is idle
};

}  // namespace rill
