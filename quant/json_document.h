#pragma once
// JSON out of untrusted files: parsed whole, within limits, and without an exception that leaves this file.

#include <cstddef>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "platform/status.h"

namespace rill::quant {

/// What a document may be. Text beyond it is refused before it takes memory: at most about 30 bytes for one of text.
struct JsonLimits {
  std::size_t bytes = std::size_t{16} << 20U;
  int depth = 16;                 ///< objects and arrays inside one another, the outermost included
  std::size_t values = SIZE_MAX;  ///< of all kinds, objects and arrays included, keys not
  std::string_view remedy = "copy or download the file again";  ///< of an error
};

/// Parses a text. A key that stands twice in one object is refused: readers would differ in which one counts.
/// @param where  what an error begins with: the file, and the part of it. Errors name the byte, counted from the text's
///               beginning as 1.
Result<nlohmann::json> parse_json(std::string_view document, const Text& where, const JsonLimits& limits = {});

/// Maps and parses a file whose outermost value is an object. As MappedFile::open() if it cannot be read.
Result<nlohmann::json> read_json_object(const std::string& path);

/// A name out of a file, fit for a message on a terminal: cut if long, control characters replaced.
FixedText<80> legible(std::string_view name);

}  // namespace rill::quant
