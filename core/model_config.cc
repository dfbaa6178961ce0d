#include "core/model_config.h"

#include <type_traits>

namespace rill {
namespace {

Status conflict(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = where,
                    .what = what,
                    .expected = expected,
                    .remedy = text("make the model file anew with `rill quantize`")});
}

}  // namespace

Status validate(const ModelConfig& config, const Text& where) {
  Status status;
  for_each_field(config, [&](std::string_view name, auto value, double least, double most) {
    const auto number = static_cast<double>(value);
    if (status.ok() && !(number >= least && number <= most)) {  // written so that NaN fails
      status = conflict(text(where, ", field ", name), text(number), text("a number from ", least, " to ", most));
    }
  });
  RILL_TRY(status);
  if (config.heads % config.kv_heads != 0) {
    return conflict(text(where, ", field kv_heads"), text(config.kv_heads), text("a divisor of heads, ", config.heads));
  }
  if (config.head_size % 2 != 0) {
    return conflict(text(where, ", field head_size"), text(config.head_size), text("an even number"));
  }
  if (config.group % 16 != 0) {
    return conflict(text(where, ", field group"), text(config.group), text("a multiple of 16"));
  }
  return {};
}

}  // namespace rill
