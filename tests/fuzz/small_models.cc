#include "tests/fuzz/small_models.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/conversation.h"
#include "quant/chat_section.h"
#include "quant/quantizer.h"
#include "quant/sentencepiece_model.h"
#include "quant/tokenizer_writer.h"
#include "tests/fuzz/target.h"
#include "tests/support/synthetic_model.h"

namespace rill::fuzz {

quant::SourceTokenizer small_byte_level_bpe() {
  quant::SourceTokenizer tokenizer;
  tokenizer.kind = quant::SourceTokenizer::Kind::kByteLevelBpe;
  for (int byte = 0; byte < 256; ++byte) tokenizer.tokens.emplace_back(1, static_cast<char>(byte));
  for (const std::string_view pair : {"th", "he", "in", " a", "er", " t"}) {
    tokenizer.merges.emplace_back(static_cast<unsigned char>(pair[0]), static_cast<unsigned char>(pair[1]));
    tokenizer.tokens.emplace_back(pair);
  }
  for (const std::string_view special : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    tokenizer.special.push_back(static_cast<Token>(tokenizer.tokens.size()));
    tokenizer.tokens.emplace_back(special);
  }
  tokenizer.end_tokens = {tokenizer.special.front(), tokenizer.special.back()};
  tokenizer.pattern = quant::pattern_for_pretokenizer("gpt-2");
  return tokenizer;
}

quant::SourceTokenizer small_sentencepiece() {
  using Type = quant::PieceType;
  std::vector<std::string> spellings = {"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types = {static_cast<std::int32_t>(Type::kUnknown),
                                     static_cast<std::int32_t>(Type::kControl),
                                     static_cast<std::int32_t>(Type::kControl)};
  for (int byte = 0; byte < 256; ++byte) {
    std::array<char, 8> spelling{};
    std::snprintf(spelling.data(), spelling.size(), "<0x%02X>", static_cast<unsigned>(byte));
    spellings.emplace_back(spelling.data());
    types.push_back(static_cast<std::int32_t>(Type::kByte));
  }
  for (const char* piece : {"\xe2\x96\x81", "t", "h", "e", "a", "th", "the", "\xe2\x96\x81t", "\xe2\x96\x81the"}) {
    spellings.emplace_back(piece);
    types.push_back(static_cast<std::int32_t>(Type::kNormal));
  }
  const std::vector<std::string_view> views(spellings.begin(), spellings.end());
  std::vector<float> scores(spellings.size(), 0.0F);
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
  auto tokenizer = quant::sentencepiece_from_proto(quant::build_sentencepiece_proto(views, scores, types));
  require(tokenizer.ok(), "the small SentencePiece model is sound");
  return *std::move(tokenizer);
}

ModelConfig small_config(std::uint32_t vocabulary) {
  return {.hidden = 16,
          .layers = 2,
          .heads = 2,
          .kv_heads = 1,
          .head_size = 8,
          .mlp_width = 16,
          .vocabulary = vocabulary,
          .group = 16,
          .tied_head = 1};
}

std::string small_rill_file(const quant::SourceTokenizer& tokenizer, std::string_view form) {
  using Kind = quant::SourceTokenizer::Kind;
  std::size_t vocabulary = tokenizer.kind == Kind::kNone ? 64 : tokenizer.tokens.size();
  if (tokenizer.kind == Kind::kSentencePiece) {
    vocabulary = quant::examine_sentencepiece(tokenizer.sentencepiece_proto)->tokens.size();
  }
  const SyntheticModel source(small_config(static_cast<std::uint32_t>(vocabulary)));
  const auto section = quant::write_tokenizer_section(tokenizer, source.config().vocabulary);
  const auto chat = quant::write_chat_section({}, {}, {.form = form});
  require(section.ok() && chat.ok(), "the small tokenizer is sound");
  std::string folder = (std::filesystem::temp_directory_path() / "rill-fuzz-XXXXXX").string();
  require(::mkdtemp(folder.data()) != nullptr, "there is room for temporary files");
  const std::string path = folder + "/small.rill";
  const auto report = quant::quantize(
      source, path,
      {.group = 16, .tokenizer_section = *section, .chat_section = std::as_bytes(std::span(chat->section))});
  require(report.ok(), "the small model can be written");
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::filesystem::remove_all(folder);
  return bytes;
}

AlignedBytes::AlignedBytes(std::string_view bytes)
    : room_(bytes.size() + format::kWeightsAlignment), size_(bytes.size()) {
  if (size_ > 0) std::memcpy(span().data(), bytes.data(), size_);
}

std::span<std::byte> AlignedBytes::span() {
  const std::size_t past = reinterpret_cast<std::uintptr_t>(room_.data()) % format::kWeightsAlignment;
  return std::span(room_).subspan(past == 0 ? 0 : format::kWeightsAlignment - past, size_);
}

EngineOptions small_options(bool keeps_state) {
  return {.policy = stream_policy(1, 6),
          .chunk = 4,
          .threads = 1,
          .keeps_state = keeps_state,
          .budget_bytes = std::uint64_t{32} << 20U};
}

void stream_a_while(const ModelFile& model) {
  const auto plan = plan_engine(model, small_options());
  if (!plan.ok() || !plan->fits()) return;
  // Layers times vocabulary of a hostile file may make a token take seconds, which is no fault of it.
  if (model.weights().size() > std::size_t{1} << 20U) return;
  Result<Engine> engine = Engine::start(model, small_options());
  if (!engine.ok()) return;
  Session& session = engine->session(0);
  session.set_sampling({.temperature = 1, .top_k = 20, .top_p = 0.9F, .repeat_penalty = 1.1F, .seed = 1});
  Token token = 0;
  for (int i = 0; i < 10; ++i) {
    const auto logits = session.prefill({&token, 1});
    if (!logits.ok()) return;
    token = session.sample(*logits);
    require(token < model.config().vocabulary, "a sampled token is one of the vocabulary");
  }
  if (engine->tokenizer() == nullptr || model.chat_section().empty()) return;
  const auto chat = parse_chat_section(model.chat_section(), text("model"));
  if (!chat.ok()) return;
  auto conversation = Conversation::open(*engine, 0, chat->form);
  if (!conversation.ok() || !conversation->begin(chat->default_system.substr(0, 64)).ok()) return;
  static_cast<void>(conversation->say("the <|im_end|> cat", 4, [](std::string_view) { return true; }).ok());
}

}  // namespace rill::fuzz
