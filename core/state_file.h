#pragma once
// A saved state on the disk: one file of constant size with two slots that are written in turn, like LMDB's meta pages.
//
//   offset 0            slot A: SlotHeader, 512 bytes | payload | zeros up to a multiple of 4096
//   slot_bytes          slot B: likewise
//
// (1) The state is that of the slot with the higher generation among those whose checksums hold. (2) That slot is never
// written; the other one is. (3) A state counts once the disk has said that it has it. So whatever moment power or
// process ends at, what was written last is there, or what was written before it. (4) What is whole but of another
// model, policy or version is refused by name, and a file that is none of ours is never written. Each point has its
// test in tests/state_file_test.cc.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/cache.h"
#include "platform/locked_file.h"
#include "platform/status.h"

namespace rill {

/// What a state belongs to. Its bytes are part of the slot's header.
struct StateIdentity {
  char purpose[16] = {};  ///< what keeps it: "chat", "perplexity"; padded with zeros
  char policy[16] = {};   ///< CachePolicy::name
  std::uint32_t sinks = 0;
  std::uint32_t window = 0;
  std::uint64_t model_bytes = 0;  ///< of the model file
  std::uint32_t model_crc32 = 0;  ///< of the model file's header, which holds the checksum of all others
  std::uint32_t reserved = 0;
  char model[64] = {};  ///< the file's name without its folder, for people; not compared
};

/// The two slots. Allocates nothing after open().
class StateFile {
 public:
  static constexpr std::size_t kHeaderBytes = 512;  ///< one sector: a disk writes it whole or not at all
  /// Bytes of one slot, and of the buffer that it is written from and read into.
  static constexpr Size slot_bytes(Size payload_bytes) { return round_up(payload_bytes + Size(kHeaderBytes), 4096); }
  /// The payload's part of such a buffer.
  static std::span<std::byte> payload_of(std::span<std::byte> slot) { return slot.subspan(kHeaderBytes); }

  /// Opens or creates the file, locks it, takes its room on the disk and reads the newest whole slot.
  /// @param slot  [slot_bytes], afterwards the slot that was found()
  /// kFailed where the file cannot be had (locked, read-only, full disk: the sentence says which); kBadInput where it
  /// holds what is not this state (another purpose, model, policy, version; damaged beyond use; no state at all): it is
  /// then left as it is.
  static Result<StateFile> open(std::string_view path, const StateIdentity& identity, std::size_t payload_bytes,
                                std::span<std::byte> slot);

  StateFile() = default;

  /// False: the file is new.
  bool found() const { return found_; }
  /// What was wrong with the file although it could be used; empty in most cases.
  const Text& notice() const { return notice_; }
  /// How often a state was written, in all runs.
  std::uint64_t generation() const { return generation_; }

  /// Writes the payload, which the caller has put in its place, to the slot that is not the newest.
  /// @param slot  [slot_bytes]; its header is filled in here.
  Status write(std::span<std::byte> slot);

 private:
  struct Slots;
  Status choose(Slots& slots, std::span<std::byte> slot);
  Status begin_anew(const Slots& slots, std::span<std::byte> slot);
  Status mark_as_ours(const Slots& slots, std::uint64_t slot_bytes);
  bool read_if_whole(Slots& slots, std::size_t index, std::span<std::byte> slot) const;

  LockedFile file_;
  StateIdentity identity_;
  std::size_t payload_bytes_ = 0;
  std::size_t newest_ = 1;  // of a new file: so that the first one written is slot A
  std::uint64_t generation_ = 0;
  bool found_ = false;
  Text notice_;
};

}  // namespace rill
