#pragma once
// Which tensors a model of a given configuration has, in the order of its file. The writer, the reader's checks and the
// quantizer all walk this list.

#include <cstdint>
#include <string_view>

#include "core/model_config.h"
#include "core/model_format.h"
#include "platform/function_ref.h"
#include "platform/size.h"
#include "platform/status.h"

namespace rill {

/// One tensor as the configuration implies it.
struct TensorSpec {
  std::string_view pattern;  ///< one of format's names, with "{}" for the layer
  bool is_bias = false;      ///< the bias of what the pattern names
  std::uint32_t layer = 0;   ///< 0 where the pattern has no "{}"
  format::TensorFormat format = format::TensorFormat::kFloat32;
  std::uint32_t group = 0;  ///< inputs per scale; 0 if the tensor is not int8
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;

  Size bytes() const;
};

using LayerTensorName = FixedText<sizeof(format::TensorEntry::name)>;

/// "layers.{}.qkv" and 3: "layers.3.qkv"; its bias: "layers.3.qkv.bias".
LayerTensorName tensor_name(std::string_view pattern, std::uint32_t layer, bool is_bias = false);

/// Calls visit for every tensor, in file order; ends with the first status that is not ok.
/// @param config  validated.
Status for_each_tensor(const ModelConfig& config, FunctionRef<Status(const TensorSpec&)> visit);

}  // namespace rill
