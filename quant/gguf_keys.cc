#include "quant/gguf_keys.h"

#include <cmath>
#include <limits>

namespace rill::quant {

Status GgufKeys::bad(std::string_view suffix, const Text& what, const Text& expected) const {
  return bad_input({.where = file_->where(key(suffix)),
                    .what = what,
                    .expected = expected,
                    .remedy = text("convert the model again, or import another")});
}

Result<std::uint32_t> GgufKeys::number(std::string_view suffix, std::optional<std::uint32_t> otherwise) const {
  RILL_ASSIGN(const auto found, file_->find_u64(key(suffix)));
  if (!found && otherwise) return *otherwise;
  if (!found || *found > std::numeric_limits<std::uint32_t>::max()) {
    return bad(suffix, found ? text(*found) : text("the key is missing"), text("a 32-bit integer"));
  }
  return static_cast<std::uint32_t>(*found);
}

Result<double> GgufKeys::real(std::string_view suffix, std::optional<double> otherwise) const {
  RILL_ASSIGN(const auto found, file_->find_f64(key(suffix)));
  if (!found && otherwise) return *otherwise;
  if (!found || !std::isfinite(*found)) {
    return bad(suffix, found ? text(*found) : text("the key is missing"), text("a finite number"));
  }
  return *found;
}

Result<bool> GgufKeys::flag(std::string_view suffix, bool otherwise) const {
  RILL_ASSIGN(const auto found, file_->find_bool(key(suffix)));
  return found.value_or(otherwise);
}

}  // namespace rill::quant
