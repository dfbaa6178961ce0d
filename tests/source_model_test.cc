#include "quant/source_model.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/scratch_directory.h"

namespace rill::quant {
namespace {

TEST(SourceModels, AFileOfAnotherKindIsNamedForWhatItIs) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("stranger.bin");
  const auto message_for = [&](const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
    const auto opened = open_source_model(path, "");
    EXPECT_FALSE(opened.ok());
    EXPECT_EQ(opened.status().code(), Code::kBadInput);
    return std::string(opened.status().message());
  };
  EXPECT_NE(message_for("RILL\r\n\x1a\n").find("imported already"), std::string::npos);
  EXPECT_NE(message_for("PK\x03\x04 and more").find("zip archive"), std::string::npos);
  EXPECT_NE(message_for(std::string("\x10\0\0\0\0\0\0\0", 8) + "{\"a\":1}").find("a safetensors file"),
            std::string::npos);
  EXPECT_NE(message_for("").find("read as a llama2.c checkpoint: 0 bytes"), std::string::npos);
  EXPECT_NE(message_for("Once upon a time there was a little file of plain text").find("read as a llama2.c checkpoint"),
            std::string::npos);
}

TEST(SourceModels, AGgufFileIsKnownByItsMagic) {
  const ScratchDirectory scratch;
  const std::string path = scratch.file("magic.gguf");
  std::ofstream(path, std::ios::binary) << "GGUF";
  const auto opened = open_source_model(path, "");
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), Code::kBadInput);
  EXPECT_NE(opened.status().message().find("GGUF header: goes past the file's end"), std::string_view::npos);
}

TEST(SourceModels, ADirectoryIsAHuggingFaceModel) {
  const std::string path = RILL_SHARED_DIR "/goldens/llama";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const auto opened = open_source_model(path, "");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ((*opened)->format(), "Hugging Face directory");
}

TEST(SourceModels, APathThatLeadsNowhereIsASentence) {
  const auto opened = open_source_model("/nonexistent/model", "");
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), Code::kBadInput);
  EXPECT_NE(opened.status().message().find("/nonexistent/model"), std::string_view::npos);
}

}  // namespace
}  // namespace rill::quant
