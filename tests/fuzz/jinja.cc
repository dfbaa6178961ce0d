// Chat templates: any text as a program, run on a conversation with a tool call, and then as the chat form of a model.

#include <nlohmann/json.hpp>

#include "core/chat_template.h"
#include "quant/chat_section.h"
#include "quant/jinja/python_text.h"
#include "quant/jinja/render.h"
#include "quant/tokenizer_writer.h"
#include "tests/fuzz/small_models.h"
#include "tests/fuzz/target.h"

namespace {

const nlohmann::ordered_json& conversation() {
  static const auto variables = nlohmann::ordered_json::parse(R"({
    "messages": [{"role": "system", "content": " Be kind.\n"},
                 {"role": "user", "content": "Wie hei\u00dft du? \u4e16\ud83d\ude00"},
                 {"role": "assistant", "content": "<think>\nso\n</think>\n\nRill.",
                  "tool_calls": [{"type": "function",
                                  "function": {"name": "f", "arguments": {"x": [1, 2, null, true]}}}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true, "strftime_now": 1738324805,
    "n": -9223372036854775808})");
  return variables;
}

/// What comes of it is a section that can be read.
void lay_out(std::string_view source) {
  static const auto tokenizer = [] {
    const auto bpe = rill::fuzz::small_byte_level_bpe();
    return *rill::quant::write_tokenizer_section(bpe, static_cast<std::uint32_t>(bpe.tokens.size()));
  }();
  const auto chat = rill::quant::write_chat_section(
      {.jinja = std::string(source), .bos_token = "<s>", .eos_token = "</s>"}, tokenizer);
  if (!chat.ok()) {
    rill::fuzz::require(chat.status().code() == rill::Code::kBadInput, "a template's error is bad input");
    return;
  }
  const auto parsed = rill::parse_chat_section(chat->section, rill::text("model"));
  rill::fuzz::require(source.empty() ? chat->section.empty() : parsed.ok(), "what is written can be read");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Small, so that no input takes long; what each stops is the same.
  constexpr rill::quant::jinja::Limits kLimits = {
      .template_bytes = 1U << 14U, .output_bytes = 1U << 16U, .steps = 20'000, .depth = 48, .value_bytes = 1U << 20U};
  const auto source = rill::fuzz::text_of(data, size);
  const auto rendering = rill::quant::jinja::render(source, conversation(), rill::text("template"), kLimits);
  if (!rendering.ok()) {
    rill::fuzz::require(rendering.status().code() == rill::Code::kBadInput, "a template's error is bad input");
    return 0;
  }
  rill::fuzz::require(rill::quant::jinja::is_utf8(rendering->text), "a template makes no text that is no UTF-8");
  rill::fuzz::require(rendering->is_refusal || rendering->text.size() <= kLimits.output_bytes,
                      "a text is within its limit");
  lay_out(source);
  return 0;
}
