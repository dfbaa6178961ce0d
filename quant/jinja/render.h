#pragma once
// Chat templates as published beside models, rendered as `transformers` does (trim_blocks, lstrip_blocks, the immutable
// sandbox, loop controls, raise_exception, strftime_now): as much of Jinja2 as their conversations of plain text run.
// What is left out, such as what they do with tools, is parsed, and refused by name where it is evaluated.
// A template is a stranger's program. It reads nothing but what it is passed, and everything that it takes is bounded.
//
// Start reading at evaluate.h; the tree that it walks is in syntax.h.

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "platform/status.h"

namespace rill::quant::jinja {

/// What a template may take. All 316 published ones that we have stay within the defaults.
struct Limits {
  std::size_t template_bytes = std::size_t{64} << 10U;
  std::size_t output_bytes = std::size_t{1} << 20U;
  std::size_t steps =
      1'000'000;   ///< nodes of the template that are evaluated, and 64 bytes or 16 values looked through
  int depth = 64;  ///< of blocks, brackets and operators, and of values; macros call 16 times as deep
  std::size_t value_bytes = std::size_t{16} << 20U;  ///< all values that are made, also those of no more use
};

/// What came of a template that could be read and run.
struct Rendering {
  bool is_refusal = false;  ///< the template called raise_exception(...): it takes no such conversation
  std::string text;         ///< the prompt; of a refusal, what was said: a stranger's words, see legible()
};

/// Renders a template. Takes up to 1 MB of stack.
/// @param source     UTF-8
/// @param variables  an object: messages, add_generation_prompt, bos_token, ... No floats. An integer
///                   `strftime_now` is the time that the function of that name tells: seconds since 1970, without a
///                   time zone. Without it there is no such function, and "strftime_now is defined" is false.
/// @param where      what an error begins with
/// @returns kBadInput, with the template's line: for what Jinja2 refuses too, for what is outside the subset (named,
///          never guessed at), and for what goes beyond a limit.
/// Source: Jinja2's "Template Designer Documentation", Python's built-in types, transformers' chat_template_utils.py.
Result<Rendering> render(std::string_view source, const nlohmann::ordered_json& variables, const Text& where,
                         const Limits& limits = {});

}  // namespace rill::quant::jinja
