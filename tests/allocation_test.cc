// Invariants 1 and 2: one block, and no allocation after the start, ours or a library's.

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdlib>
#include <vector>

#include "core/conversation.h"
#include "core/session_keeper.h"
#include "platform/allocation_watch.h"
#include "tests/support/imported_model.h"
#include "tests/support/real_model.h"
#include "tests/support/shared_data.h"

namespace rill {
namespace {

TEST(AllocationWatch, SeesMallocNewAndMmap) {
  std::uint64_t before = allocations_so_far();
  void* volatile memory = std::malloc(100);
  std::free(memory);
  EXPECT_GT(allocations_so_far(), before);
  before = allocations_so_far();
  auto* volatile number = new std::vector<int>(10);
  delete number;
  EXPECT_GT(allocations_so_far(), before);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // their hooks see no mmap
  before = allocations_so_far();
  void* const pages = ::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ::munmap(pages, 4096);
  EXPECT_GT(allocations_so_far(), before);
#endif
}

/// Chats until the stream is three windows long: tokenises, prefills, evicts, samples with every filter, decodes.
void expect_chat_without_allocation(const ModelFile& model, std::string_view form) {
  Result<Engine> engine = start(model, {.policy = stream_policy(16, 112), .chunk = 32, .draft = 5});
  ASSERT_TRUE(engine.ok());
  auto conversation = Conversation::open(*engine, 0, *find_chat_form(form));
  ASSERT_TRUE(conversation.ok());
  engine->session(0).set_sampling(
      {.temperature = 0.8F, .top_k = 50, .top_p = 0.9F, .min_p = 0.01F, .repeat_penalty = 1.1F});
  std::size_t heard = 0;
  std::size_t turns = 0;
  Status status;
  const std::uint64_t before = allocations_so_far();
  status = conversation->begin("You are a helpful assistant.");
  while (status.ok() && engine->session(0).position() < 3 * 128) {
    const Result<Reply> reply = conversation->say("Tell me 12345 more, please \xf0\x9f\x99\x82 \xff caf\xc3\xa9!", 24,
                                                  [&](std::string_view text) {
                                                    heard += text.size();
                                                    return true;
                                                  });
    status = reply.status();
    ++turns;
  }
  const std::uint64_t after = allocations_so_far();
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(after, before) << "allocations after the start";
  EXPECT_GT(turns, 2U);
  EXPECT_GT(heard, 0U);
}

TEST(NoAllocationAfterStart, InAChatPastTheWindowWithSentencePiece) {
  RILL_NEED_SHARED("models/stories260K");
  const TalkingStories model;
  ASSERT_TRUE(model.ok());
  expect_chat_without_allocation(model.file(), "llama2");
}

TEST(NoAllocationAfterStart, InAChatPastTheWindowWithByteLevelBpe) {
  RILL_NEED_REAL_MODEL();
  const Result<ModelFile> model = ModelFile::open(real_model());
  ASSERT_TRUE(model.ok()) << model.status().message();
  expect_chat_without_allocation(*model, "chatml");
}

TEST(NoAllocationAfterStart, InAChatThatIsKeptInAFile) {
  RILL_NEED_SHARED("models/stories260K");
  const TalkingStories model;
  ASSERT_TRUE(model.ok());
  const ScratchDirectory scratch;
  Result<Engine> engine = start(model.file(), {.policy = stream_policy(4, 60), .draft = 5, .keeps_state = true});
  ASSERT_TRUE(engine.ok());
  auto conversation = Conversation::open(*engine, 0, *find_chat_form("llama2"));
  SessionKeeper keeper;
  ASSERT_TRUE(conversation.ok() && keeper.open(*engine, 0, scratch.file("talk.state"), "chat").ok());
  conversation->keep_in(keeper, /*every=*/3);
  Session& session = engine->session(0);
  Status status;
  const std::uint64_t before = allocations_so_far();
  status = conversation->begin("");
  for (int turn = 0; status.ok() && turn < 6; ++turn) {
    status = conversation->say("Tell me more", 24, [](std::string_view) { return true; }).status();
    if (status.ok()) status = keeper.settle();
  }
  // What a keeper has read is restored by this call.
  const auto payload = StateFile::payload_of(engine->state_snapshot()).first(session.state_bytes());
  if (status.ok()) status = session.restore(payload);
  const std::uint64_t after = allocations_so_far();
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(after, before) << "allocations after the start";
}

TEST(MemoryPlan, EveryItemIsWhatIsReallyTaken) {
  RILL_NEED_SHARED("models/stories260K");
  const ImportedModel model(shared_path("models/stories260K/stories260K.bin"),
                            shared_path("models/stories260K/tok512.model"));
  ASSERT_TRUE(model.ok());
  const EngineOptions options = {
      .policy = stream_policy(4, 60), .chunk = 8, .threads = 2, .in_ram = true, .sessions = 3, .keeps_state = true};
  const auto plan = plan_engine(model.file(), options);
  ASSERT_TRUE(plan.ok());
  // The block is exactly the plan's: a page less is refused, and between its items lies nothing but alignment.
  Result<PageBlock> block = PageBlock::take(plan->memory.arena_bytes());
  ASSERT_TRUE(block.ok());
  EXPECT_FALSE(Engine::start_in(model.file(), options, block->bytes().first(block->bytes().size() - 4096)).ok());
  Result<Engine> engine = Engine::start_in(model.file(), options, block->bytes());
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  std::uint64_t end = 0;
  for (const PlanItem& item : engine->plan().memory.items()) {
    if (item.region != Region::kArena) continue;
    EXPECT_GE(item.offset, end) << item.name;
    EXPECT_LT(item.offset - end, 64U) << item.name << ": an unnamed gap";
    end = item.offset + item.bytes;
  }
  EXPECT_LE(end, plan->memory.arena_bytes());
  EXPECT_LT(plan->memory.arena_bytes() - end, 4096U);
}

}  // namespace
}  // namespace rill
