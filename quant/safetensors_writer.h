#pragma once
// A safetensors file with one float32 matrix, written row by row: any number of rows in the memory of one.

#include <cstdint>
#include <span>
#include <string_view>

#include "platform/output_file.h"
#include "platform/status.h"

namespace rill::quant {

/// A matrix on its way to a file that appears under its name only when it is whole.
class SafetensorsWriter {
 public:
  /// Writes the header, so the number of rows is known from the start.
  /// @param tensor   its name: UTF-8
  /// kUsage if the shape's bytes do not fit 64 bits; kFailed if the file cannot be written.
  static Result<SafetensorsWriter> create(std::string_view path, std::string_view tensor, std::uint64_t rows,
                                          std::uint64_t columns);

  /// @param row  [columns]
  Status write_row(std::span<const float> row);
  /// Gives the file its name. Call once, after the last row; kFailed if rows are missing.
  Status commit();

 private:
  SafetensorsWriter(OutputFile file, std::uint64_t rows, std::uint64_t columns);

  OutputFile file_;
  std::uint64_t rows_left_;
  std::uint64_t columns_;
};

}  // namespace rill::quant
