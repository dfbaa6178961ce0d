// What is said of a command line that cannot be taken: what is wrong by name, and where to read on.

#include "apps/command.h"

#include <gtest/gtest.h>
#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace rill::apps {
namespace {

/// The sentence for a command line; empty if it is taken.
std::string sentence_for(const std::vector<std::string>& words) {
  CLI::App app("", "rill");
  app.require_subcommand(1);
  Action action;
  add_all_commands(app, action);
  std::vector<const char*> arguments = {"rill"};
  for (const std::string& word : words) arguments.push_back(word.c_str());
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::ParseError& error) {
    const Status status = explain(app, error);
    EXPECT_EQ(status.code(), Code::kUsage);
    return std::string(status.message());
  }
  return {};
}

TEST(CommandLine, ThatIsTakenNeedsNoSentence) {
  EXPECT_EQ(sentence_for({"chat", "m.rill", "-p", "-1", "--temp", "0.5", "--top-k", "0", "--window", "64"}), "");
}

TEST(CommandLine, ThatCannotBeTakenIsExplainedByTheWordThatIsWrong) {
  EXPECT_EQ(sentence_for({}), "A subcommand is required; see `rill --help`");
  EXPECT_TRUE(sentence_for({"serve", "m.rill"}).starts_with("serve: there is no such command, expected chat, plan, "));
  EXPECT_EQ(sentence_for({"--bogus"}), "--bogus: there is no such option; see `rill --help`");
  EXPECT_EQ(sentence_for({"chat"}), "MODEL is required; see `rill chat --help`");
  EXPECT_EQ(sentence_for({"chat", "-m"}), "-m: there is no such option; see `rill chat --help`");
  EXPECT_EQ(sentence_for({"chat", "m.rill", "--prmpt", "hi"}),
            "--prmpt: there is no such option; see `rill chat --help`");
  EXPECT_EQ(sentence_for({"chat", "m.rill", "hello", "there"}),
            "hello: an argument too many; a text goes after -p; see `rill chat --help`");
  EXPECT_EQ(sentence_for({"quantize", "m.gguf", "m.rill"}), "--output is required; see `rill quantize --help`");
  EXPECT_EQ(sentence_for({"inspect", "m.rill", "n.rill"}), "n.rill: an argument too many; see `rill inspect --help`");
}

TEST(CommandLine, NamesTheOptionWhoseNumberIsNone) {
  EXPECT_EQ(sentence_for({"chat", "m.rill", "--temp", "abc"}),
            "--temp: abc, expected a finite number; see `rill chat --help`");
  EXPECT_EQ(sentence_for({"chat", "m.rill", "--temp=-1"}), "--temp: -1, expected 0 or more; see `rill chat --help`");
  EXPECT_EQ(sentence_for({"chat", "m.rill", "--seed", "0x10"}),
            "--seed: 0x10, expected a whole number, 0 or more; see `rill chat --help`");
  EXPECT_EQ(sentence_for({"chat", "m.rill", "--threads", "0"}),
            "--threads: 0, expected more than 0; see `rill chat --help`");
  EXPECT_EQ(sentence_for({"chat", "m.rill", "--window"}),
            "--window: there is no value behind it; see `rill chat --help`");
  EXPECT_EQ(sentence_for({"chat", "m.rill", "--window", "3", "--window", "4"}),
            "--window: given more than once; see `rill chat --help`");
  EXPECT_EQ(sentence_for({"wyoming", "m.rill", "--port", "70000"}),
            "--port: 70000, expected a smaller number; see `rill wyoming --help`");
  EXPECT_EQ(sentence_for({"perplexity", "m.rill", "--max-tokens", "1"}),
            "--max-tokens: 1, expected 2 or more; see `rill perplexity --help`");
}

}  // namespace
}  // namespace rill::apps
