#include "quant/safetensors_writer.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "core/model_format.h"  // refuses big-endian machines at compile time
#include "platform/size.h"

namespace rill::quant {

SafetensorsWriter::SafetensorsWriter(OutputFile file, std::uint64_t rows, std::uint64_t columns)
    : file_(std::move(file)), rows_left_(rows), columns_(columns) {}

Result<SafetensorsWriter> SafetensorsWriter::create(std::string_view path, std::string_view tensor, std::uint64_t rows,
                                                    std::uint64_t columns) {
  const Size bytes = Size(rows) * Size(columns) * Size(sizeof(float));
  if (bytes.wrapped) {
    return bad_usage({.where = text(path),
                      .what = text(rows, " rows of ", columns, " floats"),
                      .expected = text("a size that fits 64 bits"),
                      .remedy = {}});
  }
  const nlohmann::json document = {
      {std::string(tensor), {{"dtype", "F32"}, {"shape", {rows, columns}}, {"data_offsets", {0, bytes.value}}}}};
  std::string header = document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  header.resize(round_up(header.size(), std::size_t{8}), ' ');  // so that the data are aligned

  RILL_ASSIGN(OutputFile file, OutputFile::create(path));
  const std::uint64_t length = header.size();
  RILL_TRY(file.write(std::as_bytes(std::span(&length, 1))));
  RILL_TRY(file.write(std::as_bytes(std::span(header))));
  return SafetensorsWriter(std::move(file), rows, columns);
}

Status SafetensorsWriter::write_row(std::span<const float> row) {
  if (row.size() != columns_ || rows_left_ == 0) {
    return failed({.where = text("safetensors file being written"),
                   .what = text("a row of ", row.size()),
                   .expected = text(rows_left_, " more rows of ", columns_),
                   .remedy = {}});
  }
  RILL_TRY(file_.write(std::as_bytes(row)));
  --rows_left_;
  return {};
}

Status SafetensorsWriter::commit() {
  if (rows_left_ != 0) {
    return failed({.where = text("safetensors file being written"),
                   .what = text(rows_left_, " rows are missing"),
                   .expected = {},
                   .remedy = {}});
  }
  return file_.commit();
}

}  // namespace rill::quant
