// A file that keeps a chat's session. Checksums are mended, so that lies in the counts reach what checks them. What is
// restored goes on talking.

#include <cstring>
#include <memory>
#include <optional>

#include "core/checksum.h"
#include "core/conversation.h"
#include "core/state_file.h"
#include "tests/fuzz/input_file.h"
#include "tests/fuzz/small_models.h"

namespace {

// Where a slot's checksums lie (core/state_file.cc).
constexpr std::size_t kHeaderCrcAt = 12;
constexpr std::size_t kPayloadCrcAt = 32;

void mend(std::span<std::byte> file, std::size_t slot_bytes, std::size_t payload_bytes) {
  for (std::size_t begin = 0; begin + slot_bytes <= file.size(); begin += slot_bytes) {
    const std::span<std::byte> header = file.subspan(begin, rill::StateFile::kHeaderBytes);
    const std::uint32_t payload = rill::crc32(file.subspan(begin + header.size(), payload_bytes));
    std::memcpy(header.data() + kPayloadCrcAt, &payload, sizeof payload);
    std::memset(header.data() + kHeaderCrcAt, 0, 4);
    const std::uint32_t crc = rill::crc32(header);
    std::memcpy(header.data() + kHeaderCrcAt, &crc, sizeof crc);
  }
}

struct Setting {
  rill::fuzz::AlignedBytes file{rill::fuzz::small_rill_file(rill::fuzz::small_byte_level_bpe(), "chatml")};
  rill::Result<rill::ModelFile> model = rill::ModelFile::view(file.span(), "model");
  rill::Result<rill::Engine> engine = rill::Engine::start(*model, rill::fuzz::small_options(/*keeps_state=*/true));
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using rill::fuzz::require;
  static Setting setting;
  static const rill::fuzz::InputFile input;
  require(setting.engine.ok(), "the small model runs");
  rill::Engine& engine = *setting.engine;
  std::string bytes(rill::fuzz::text_of(data, size));
  mend(std::as_writable_bytes(std::span(bytes)), engine.state_snapshot().size(),
       engine.session(0).state_bytes() + rill::kStateNoteBytes);

  engine.session(0).reset();
  auto conversation = rill::Conversation::open(engine, 0, *rill::find_chat_form("chatml"));
  rill::SessionKeeper keeper;
  const auto restored = keeper.open(engine, 0, input.with(bytes), "chat");
  if (!restored.ok()) return 0;
  conversation->keep_in(keeper, /*every=*/2);
  const rill::Status begun = *restored ? conversation->resume(nullptr) : conversation->begin("Be kind.");
  if (!begun.ok()) return 0;
  const auto reply = conversation->say("the cat", 3, [](std::string_view) { return true; });
  require(reply.ok(), "a conversation that was restored goes on");
  require(keeper.settle().ok(), "and is kept");
  return 0;
}
