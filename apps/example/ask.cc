// Rill as a library: asks a model one question. Usage: rill-ask MODEL.rill "What is the capital of France?"

#include <cstdio>

#include "core/conversation.h"

namespace {

rill::Status ask(const char* path, const char* question) {
  // The weights: mapped read-only, and shared by every engine that uses the file.
  RILL_ASSIGN(const rill::ModelFile model, rill::ModelFile::open(path));
  RILL_ASSIGN(const rill::ChatSection chat, rill::parse_chat_section(model.chat_section(), rill::text(path)));

  // Every byte is known before one is taken.
  const rill::EngineOptions options = {.policy = rill::stream_policy(4, 508), .budget_bytes = 512ULL << 20U};
  RILL_ASSIGN(const rill::EnginePlan plan, rill::plan_engine(model, options));
  std::fprintf(stderr, "taking %llu bytes\n", static_cast<unsigned long long>(plan.memory.arena_bytes()));
  RILL_ASSIGN(rill::Engine engine, rill::Engine::start(model, options));
  model.prefault();

  // From here on nothing is allocated.
  engine.session(0).set_sampling({.temperature = 0});
  RILL_ASSIGN(rill::Conversation conversation, rill::Conversation::open(engine, 0, chat.form));
  RILL_TRY(conversation.begin(chat.default_system));
  const auto print = [](std::string_view text) {
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  };
  RILL_ASSIGN(const rill::Reply reply, conversation.say(question, /*most_tokens=*/128, print));
  if (std::ferror(stdout) != 0) return rill::system_failure(rill::text("standard output"), "writing the reply");
  std::fprintf(stderr, "\n%llu tokens, the first after %.0f ms\n", static_cast<unsigned long long>(reply.reply_tokens),
               1e3 * reply.seconds_to_first);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: rill-ask MODEL.rill QUESTION\n"), 2;
  const rill::Status status = ask(argv[1], argv[2]);
  if (!status.ok())
    std::fprintf(stderr, "rill-ask: %.*s\n", static_cast<int>(status.message().size()), status.message().data());
  return static_cast<int>(status.code());
}
