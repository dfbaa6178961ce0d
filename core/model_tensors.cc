#include "core/model_tensors.h"

namespace rill {

using format::TensorFormat;

Size TensorSpec::bytes() const {
  switch (format) {
    case TensorFormat::kFloat32:
      return Size(rows) * columns * sizeof(float);
    case TensorFormat::kUint64:
      return Size(rows) * columns * sizeof(std::uint64_t);
    case TensorFormat::kInt8Tiles:
      break;
  }
  return format::packed_bytes(rows, columns, group);
}

LayerTensorName tensor_name(std::string_view pattern, std::uint32_t layer, bool is_bias) {
  LayerTensorName name;
  const std::size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos) {
    name.append(pattern);
  } else {
    name.append(pattern.substr(0, hole));
    name.append(text(layer).view());
    name.append(pattern.substr(hole + 2));
  }
  if (is_bias) name.append(format::kBiasSuffix);
  return name;
}

namespace {

/// Walks the tensors of one configuration. D hidden, H heads, G KV heads, d head size, E experts or 1.
class TensorWalk {
 public:
  TensorWalk(const ModelConfig& config, FunctionRef<Status(const TensorSpec&)> visit) : c_(config), visit_(visit) {}

  Status walk() {
    const std::uint64_t hidden = c_.hidden;
    if (c_.position == Position::kRope) {
      RILL_TRY(table(format::kRopeTurns, TensorFormat::kUint64, c_.rope_tables, c_.rotated_size() / 2));
    }
    if (c_.position == Position::kAlibi) RILL_TRY(floats(format::kAlibi, c_.heads));
    RILL_TRY(matrix(format::kEmbedding, c_.vocabulary, hidden));
    if (c_.position == Position::kLearned) {
      RILL_TRY(table(format::kPositions, TensorFormat::kFloat32, c_.context_length, hidden));
    }
    for (; layer_ < c_.layers; ++layer_) {
      RILL_TRY(walk_attention());
      RILL_TRY(walk_mlp());
    }
    layer_ = 0;
    RILL_TRY(norm(format::kFinalNorm));
    if (c_.head_transform != 0) RILL_TRY(matrix(format::kHeadTransform, hidden, hidden));
    if (c_.tied_head == 0) RILL_TRY(matrix(format::kHead, c_.vocabulary, hidden));
    if (c_.head_bias != 0) RILL_TRY(bias(format::kHead, 1, c_.vocabulary));
    return {};
  }

 private:
  Status walk_attention() {
    const std::uint64_t query_rows = std::uint64_t{c_.heads} * c_.head_size;
    const std::uint64_t kv_rows = std::uint64_t{c_.kv_heads} * c_.head_size;
    const bool all_heads = c_.head_norm == HeadNorm::kAllHeads;
    if (c_.norm_placement != NormPlacement::kAfter) RILL_TRY(norm(format::kAttentionNorm));
    RILL_TRY(matrix(format::kQkv, query_rows + 2 * kv_rows, c_.hidden));
    if (c_.attention_bias != 0) RILL_TRY(bias(format::kQkv, 1, query_rows + 2 * kv_rows));
    if (c_.head_norm != HeadNorm::kNone) {
      RILL_TRY(floats(format::kQueryNorm, all_heads ? query_rows : c_.head_size));
      RILL_TRY(floats(format::kKeyNorm, all_heads ? kv_rows : c_.head_size));
    }
    if (c_.softmax == Softmax::kSinkLogit) RILL_TRY(floats(format::kSinkLogits, c_.heads));
    RILL_TRY(matrix(format::kAttentionOut, c_.hidden, query_rows));
    if (c_.out_bias != 0) RILL_TRY(bias(format::kAttentionOut, 1, c_.hidden));
    if (c_.norm_placement != NormPlacement::kBefore) RILL_TRY(norm(format::kAttentionPostNorm));
    return {};
  }

  Status walk_mlp() {
    const std::uint64_t experts = c_.experts == 0 ? 1 : c_.experts;
    if (c_.norm_placement != NormPlacement::kAfter && c_.shared_norm == 0) RILL_TRY(norm(format::kMlpNorm));
    if (c_.experts > 0) {
      RILL_TRY(matrix(format::kRouter, c_.experts, c_.hidden));
      if (c_.mlp_bias != 0) RILL_TRY(bias(format::kRouter, 1, c_.experts));
    }
    RILL_TRY(matrix(format::kGateUp, experts * c_.wide_rows(), c_.hidden));
    if (c_.mlp_bias != 0) RILL_TRY(bias(format::kGateUp, experts, c_.wide_rows()));
    RILL_TRY(matrix(format::kDown, experts * c_.hidden, c_.mlp_width));
    if (c_.mlp_bias != 0) RILL_TRY(bias(format::kDown, experts, c_.hidden));
    if (c_.norm_placement != NormPlacement::kBefore) RILL_TRY(norm(format::kMlpPostNorm));
    return {};
  }

  Status matrix(std::string_view pattern, std::uint64_t rows, std::uint64_t columns) {
    return visit_({.pattern = pattern,
                   .layer = layer_,
                   .format = TensorFormat::kInt8Tiles,
                   .group = c_.group,
                   .rows = rows,
                   .columns = columns});
  }
  Status table(std::string_view pattern, TensorFormat format, std::uint64_t rows, std::uint64_t columns) {
    return visit_({.pattern = pattern, .layer = layer_, .format = format, .rows = rows, .columns = columns});
  }
  Status floats(std::string_view pattern, std::uint64_t count) {
    return table(pattern, TensorFormat::kFloat32, 1, count);
  }
  Status bias(std::string_view pattern, std::uint64_t rows, std::uint64_t columns) {
    return visit_({.pattern = pattern, .is_bias = true, .layer = layer_, .rows = rows, .columns = columns});
  }
  Status norm(std::string_view pattern) {
    RILL_TRY(floats(pattern, c_.hidden));
    return c_.norm == NormKind::kLayer ? bias(pattern, 1, c_.hidden) : Status();
  }

  const ModelConfig& c_;
  FunctionRef<Status(const TensorSpec&)> visit_;
  std::uint32_t layer_ = 0;
};

}  // namespace

Status for_each_tensor(const ModelConfig& config, FunctionRef<Status(const TensorSpec&)> visit) {
  return TensorWalk(config, visit).walk();
}

}  // namespace rill
