#include "quant/jinja/render.h"

#include <exception>
#include <nlohmann/json.hpp>
#include <optional>

#include "quant/jinja/evaluate.h"
#include "quant/jinja/python_text.h"
#include "quant/jinja/syntax.h"

namespace rill::quant::jinja {
namespace {

/// Without what a terminal would take for a command; other characters stay, as a message may be about them.
Text without_controls(const Text& what) {
  Text out;
  for (const char c : what.view()) {
    const bool is_control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    out.append(is_control ? "?" : std::string_view(&c, 1));
  }
  return out;
}

Status status_of(const Failure& failure, const Text& where, int line) {
  const std::string_view expected = failure.kind == Failure::Kind::kRefused       ? "what Jinja2 and Python take"
                                    : failure.kind == Failure::Kind::kUnsupported ? "what Rill knows of Jinja2"
                                                                                  : "no more than that";
  return bad_input({.where = text(where, ", line ", failure.line > 0 ? failure.line : line),
                    .what = without_controls(failure.what),
                    .expected = text(expected),
                    .remedy = {}});
}

Status unreadable(const Text& where, const Text& what, const Text& expected) {
  return bad_input({.where = where, .what = what, .expected = expected, .remedy = text("download it again")});
}

}  // namespace

Result<Rendering> render(std::string_view source, const nlohmann::ordered_json& variables, const Text& where,
                         const Limits& limits) {
  if (source.size() > limits.template_bytes) {
    return unreadable(where, text(source.size(), " bytes of template"), text("at most ", limits.template_bytes));
  }
  if (!is_utf8(source)) return unreadable(where, text("a template that is no UTF-8"), text("UTF-8"));
  Tree tree;
  std::optional<Evaluator> evaluator;
  try {
    parse(source, limits.depth, tree);
    evaluator.emplace(tree, variables, limits);
    return Rendering{.text = evaluator->run()};
  } catch (const Raised& raised) {
    return Rendering{.is_refusal = true, .text = raised.message};
  } catch (const Failure& failure) {
    return status_of(failure, where, evaluator ? evaluator->line() : 1);
  } catch (const std::exception&) {
    return unreadable(where, text("a template that takes more memory than there is"), text("less of it"));
  }
}

}  // namespace rill::quant::jinja
