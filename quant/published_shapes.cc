#include "quant/published_shapes.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "core/model_family.h"

namespace rill::quant {
namespace {

constexpr PublishedShape kShapes[] = {
    {.name = "stories15M",
     .family = "llama",
     .parameters = 15'191'712,
     .hidden = 288,
     .layers = 6,
     .heads = 6,
     .kv_heads = 6,
     .head_size = 48,
     .mlp_width = 768,
     .vocabulary = 32000,
     .context_length = 256,
     .tied_head = 1},
    {.name = "SmolLM2-135M",
     .family = "llama",
     .parameters = 134'515'008,
     .hidden = 576,
     .layers = 30,
     .heads = 9,
     .kv_heads = 3,
     .head_size = 64,
     .mlp_width = 1536,
     .vocabulary = 49152,
     .context_length = 8192,
     .tied_head = 1,
     .rope_theta = 1e5},
    {.name = "Gemma-3-270M",
     .family = "gemma3",
     .parameters = 268'098'176,
     .hidden = 640,
     .layers = 18,
     .heads = 4,
     .kv_heads = 1,
     .head_size = 256,
     .mlp_width = 2048,
     .vocabulary = 262144,
     .context_length = 32768,
     .tied_head = 1,
     .rope_theta = 1e6,
     .local_rope_theta = 1e4,
     .local_window = 512},
    {.name = "SmolLM2-360M",
     .family = "llama",
     .parameters = 361'821'120,
     .hidden = 960,
     .layers = 32,
     .heads = 15,
     .kv_heads = 5,
     .head_size = 64,
     .mlp_width = 2560,
     .vocabulary = 49152,
     .context_length = 8192,
     .tied_head = 1,
     .rope_theta = 1e5},
    {.name = "Qwen2.5-0.5B",
     .family = "qwen2",
     .parameters = 494'032'768,
     .hidden = 896,
     .layers = 24,
     .heads = 14,
     .kv_heads = 2,
     .head_size = 64,
     .mlp_width = 4864,
     .vocabulary = 151936,
     .context_length = 32768,
     .tied_head = 1,
     .rope_theta = 1e6},
    {.name = "TinyLlama-1.1B",
     .family = "llama",
     .parameters = 1'100'048'384,
     .hidden = 2048,
     .layers = 22,
     .heads = 32,
     .kv_heads = 4,
     .head_size = 64,
     .mlp_width = 5632,
     .vocabulary = 32000,
     .context_length = 2048},
    {.name = "Llama-3.2-1B",
     .family = "llama",
     .parameters = 1'235'814'400,
     .hidden = 2048,
     .layers = 16,
     .heads = 32,
     .kv_heads = 8,
     .head_size = 64,
     .mlp_width = 8192,
     .vocabulary = 128256,
     .context_length = 131072,
     .tied_head = 1,
     .rope_theta = 5e5,
     .rope = {.kind = RopeScaling::Kind::kLlama3, .factor = 32}},
};

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace

ModelConfig PublishedShape::config() const {
  ModelConfig c = find_family(family)->config;
  c.hidden = hidden;
  c.layers = layers;
  c.heads = heads;
  c.kv_heads = kv_heads;
  c.head_size = head_size;
  c.mlp_width = mlp_width;
  c.vocabulary = vocabulary;
  c.context_length = context_length;
  c.tied_head = tied_head;
  c.rope_theta = rope_theta;
  c.local_window = local_window;
  if (family == "gemma3") c.embedding_scale = std::sqrt(static_cast<double>(hidden));
  return c;
}

std::vector<double> PublishedShape::rope_turns() const {
  std::vector<double> turns = quant::rope_turns(head_size, rope_theta, rope);
  if (local_rope_theta > 0) {
    const std::vector<double> local = quant::rope_turns(head_size, local_rope_theta, {});
    turns.insert(turns.end(), local.begin(), local.end());
  }
  return turns;
}

std::span<const PublishedShape> published_shapes() { return kShapes; }

Result<const PublishedShape*> find_published_shape(std::string_view name) {
  Text known;
  for (const PublishedShape& shape : kShapes) {
    if (same_name(shape.name, name)) return &shape;
    known.append(known.empty() ? "" : ", ");
    known.append(shape.name);
  }
  return bad_usage({.where = text("--synthetic"),
                    .what = text("no shape is called ", name),
                    .expected = text("one of: ", known),
                    .remedy = {}});
}

}  // namespace rill::quant
