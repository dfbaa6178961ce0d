#pragma once
// Shapes of published models, for models of random weights: what a token costs depends on the shape alone.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/model_config.h"
#include "platform/status.h"
#include "quant/rope_scaling.h"

namespace rill::quant {

/// One published model without its weights. Whatever a row does not name is as in its family.
struct PublishedShape {
  std::string_view name;
  std::string_view family;
  std::uint64_t parameters = 0;  ///< as its makers count them; a tied head once
  std::uint32_t hidden = 0;
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_size = 0;
  std::uint32_t mlp_width = 0;
  std::uint32_t vocabulary = 0;
  std::uint32_t context_length = 0;
  std::uint32_t tied_head = 0;
  double rope_theta = 10000.0;
  double local_rope_theta = 0;  ///< of the layers with a window of their own; 0: as the others
  std::uint32_t local_window = 0;
  RopeScaling rope{};

  ModelConfig config() const;
  /// Rotations per position of each rotated pair, in turns. [rope_tables, rotated size / 2]
  std::vector<double> rope_turns() const;
};

/// Every one, smallest first.
std::span<const PublishedShape> published_shapes();
/// kUsage, with all names, if there is none of this name. Small and capital letters are the same.
Result<const PublishedShape*> find_published_shape(std::string_view name);

}  // namespace rill::quant
