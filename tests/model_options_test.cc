// What numbers on a command line become: those that a field cannot hold are its most, never what is left of them.

#include "apps/model_options.h"

#include <gtest/gtest.h>
#include <CLI/CLI.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "apps/command.h"

namespace rill::apps {
namespace {

ModelArguments parsed(const std::vector<std::string>& words) {
  ModelArguments model;
  CLI::App app;
  add_model_arguments(app, model);
  std::vector<const char*> arguments = {"rill", "m.rill"};
  for (const std::string& word : words) arguments.push_back(word.c_str());
  app.parse(static_cast<int>(arguments.size()), arguments.data());
  return model;
}

TEST(ModelOptions, EveryCommandThatRunsAModelTakesWhatTheContractLists) {
  CLI::App app;
  Action action;
  add_all_commands(app, action);
  for (const char* const name :
       {"chat", "generate", "logits", "perplexity", "streameval", "bench", "soak", "voice", "wyoming", "plan"}) {
    const CLI::App& command = *app.get_subcommand(name);
    for (const char* const option :
         {"--budget", "--policy", "--sinks", "--window", "--chunk", "--threads", "--kernels", "--in-ram", "--seed",
          "--temp", "--top-k", "--top-p", "--min-p", "--repeat-penalty"}) {
      EXPECT_NE(command.get_option_no_throw(option), nullptr) << name << " " << option;
    }
  }
}

TEST(ModelOptions, ATopKBeyond32BitsIsNoLimitAndNotOne) {
  const ModelConfig config;
  EXPECT_EQ(sampling_options(parsed({"--top-k", "4294967297"}), config).top_k, UINT32_MAX);
  EXPECT_EQ(sampling_options(parsed({"--top-k", "40"}), config).top_k, 40U);
}

TEST(ModelOptions, AWindowBeyond32BitsIsRefusedAndNotCut) {
  EXPECT_THROW(parsed({"--window", "4294967298"}), CLI::ValidationError);
}

TEST(ModelOptions, SinksOfASystemPromptAreItsTokensAndRefusedWhereThereIsNone) {
  const ModelConfig config = {.layers = 1, .heads = 1, .kv_heads = 1, .head_size = 32};
  const ModelArguments pinned = parsed({"--sinks", "system"});
  EXPECT_EQ(engine_options(pinned, config, {.system_tokens = 20})->policy.sinks, 20U);
  EXPECT_EQ(engine_options(pinned, config, {}).status().code(), Code::kUsage);
}

TEST(ModelOptions, LearnedPositionsLeaveTheDefaultWindowRoomForTheModelsOwnSink) {
  ModelConfig config = {.layers = 1, .heads = 1, .kv_heads = 1, .head_size = 32};
  config.position = Position::kLearned;
  config.context_length = 100;
  EXPECT_EQ(engine_options(parsed({"--policy", "recompute"}), config, {})->policy.window, 99U);
  config.sink_token = 5;
  EXPECT_EQ(engine_options(parsed({"--policy", "recompute"}), config, {})->policy.window, 98U);
}

TEST(ModelOptions, SizesThatWrapAreRefused) {
  EXPECT_EQ(*parse_size("--budget", "64MiB"), 64U << 20U);
  for (const char* size : {"18446744073709551615K", "17179869184GiB", "18446744073709551616", "-1", "0", "1T", ""}) {
    const Status status = parse_size("--budget", size).status();
    EXPECT_EQ(status.code(), Code::kUsage) << size;
    EXPECT_TRUE(status.message().starts_with("--budget: ")) << status.message();
  }
}

}  // namespace
}  // namespace rill::apps
