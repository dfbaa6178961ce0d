#pragma once
// A source model to a .rill file, a few rows at a time.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/status.h"
#include "quant/model_writer.h"
#include "quant/source_model.h"

namespace rill::quant {

struct QuantizeOptions {
  std::uint32_t group = 32;                      ///< inputs that share a scale
  bool is_rotated = false;                       ///< the same network in other coordinates: quant/rotation.h
  bool calibrates = true;                        ///< evens out inputs by what random tokens make: input_equalizer.h;
                                                 ///< a rotated network's are even already
  std::span<const std::byte> tokenizer_section;  ///< as stored; empty: none
  std::span<const std::byte> chat_section;       ///< not compressed; empty: none
  std::size_t threads = 0;                       ///< 0: one a core; fewer where the system grants no more
  /// Called after each piece of at most about 1 MB; a draft's bytes count as the file's do. Borrowed.
  Progress progress = kNoProgress;
};

/// A tensor whose quantized form has no error counts as this many dB, the precision of float32 itself, so that means
/// stay finite.
inline constexpr double kLosslessDb = 144.5;

/// What quantization did to one int8 tensor.
struct TensorDistortion {
  std::string name;  ///< in the .rill file
  std::uint64_t rows = 0;
  std::uint64_t columns = 0;
  double snr_db = 0.0;         ///< 10 log10(sum of squares / sum of squared errors), at most kLosslessDb
  double largest_error = 0.0;  ///< of any weight, absolute
};

struct QuantizeReport {
  std::string family;
  std::uint64_t parameters = 0;  ///< weights of the model; a tied head counts once
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  double seconds = 0.0;
  double snr_db_min = 0.0;  ///< over the int8 tensors
  double snr_db_mean = 0.0;
  std::vector<TensorDistortion> tensors;  ///< the int8 ones, in file order; norms are kept as float32
};

/// Quantizes a model into a .rill file, which appears under its name only when it is whole.
/// kBadInput names the source tensor (and row) that is missing, misshapen or not finite; nothing is left behind then.
/// Memory: one piece of rows, about 1 MB (16 rows a thread where those are more), and a float table (norms, biases,
/// what a rotation turns) whole; with calibration an engine's arena for 128 tokens. Cost: about 70 candidate scales per
/// weight, for calibration a draft of the file before that and a prefill of 128 tokens. The file does not depend on the
/// number of threads.
Result<QuantizeReport> quantize(const SourceModel& source, std::string_view output_path,
                                const QuantizeOptions& options);

/// Rotation per position as the file stores it: turns times 2^64. Exact: a double times a power of two.
/// @param turns  in [0, 1)
std::uint64_t turns_to_fraction(double turns);

}  // namespace rill::quant
