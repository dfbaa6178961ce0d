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

LayerTensorName tensor_name(std::string_view pattern, std::uint32_t layer) {
  LayerTensorName name;
  const std::size_t hole = pattern.find("{}");
  if (hole == std::string_view::npos) {
    name.append(pattern);
  } else {
    name.append(pattern.substr(0, hole));
    name.append(text(layer).view());
    name.append(pattern.substr(hole + 2));
  }
  return name;
}

Status for_each_tensor(const ModelConfig& c, FunctionRef<Status(const TensorSpec&)> visit) {
  const std::uint64_t hidden = c.hidden;
  const std::uint64_t query_rows = std::uint64_t{c.heads} * c.head_size;
  const std::uint64_t kv_rows = std::uint64_t{c.kv_heads} * c.head_size;
  const std::uint64_t mlp_width = c.mlp_width;
  std::uint32_t layer = 0;
  const auto matrix = [&](std::string_view pattern, std::uint64_t rows, std::uint64_t columns) {
    return visit({.pattern = pattern,
                  .layer = layer,
                  .format = TensorFormat::kInt8Tiles,
                  .group = c.group,
                  .rows = rows,
                  .columns = columns});
  };
  const auto vector = [&](std::string_view pattern, TensorFormat format, std::uint64_t columns) {
    return visit({.pattern = pattern, .layer = layer, .format = format, .group = 0, .rows = 1, .columns = columns});
  };

  RILL_TRY(vector(format::kRopeTurns, TensorFormat::kUint64, c.head_size / 2));
  RILL_TRY(matrix(format::kEmbedding, c.vocabulary, hidden));
  for (; layer < c.layers; ++layer) {
    RILL_TRY(vector(format::kAttentionNorm, TensorFormat::kFloat32, hidden));
    RILL_TRY(matrix(format::kQkv, query_rows + 2 * kv_rows, hidden));
    RILL_TRY(matrix(format::kAttentionOut, hidden, query_rows));
    RILL_TRY(vector(format::kMlpNorm, TensorFormat::kFloat32, hidden));
    RILL_TRY(matrix(format::kGateUp, 2 * mlp_width, hidden));
    RILL_TRY(matrix(format::kDown, hidden, mlp_width));
  }
  layer = 0;
  RILL_TRY(vector(format::kFinalNorm, TensorFormat::kFloat32, hidden));
  if (c.tied_head == 0) RILL_TRY(matrix(format::kHead, c.vocabulary, hidden));
  return {};
}

}  // namespace rill
