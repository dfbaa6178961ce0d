#pragma once
// From a source's chat template to the "chat" section of a .rill file.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "platform/status.h"
#include "quant/source_model.h"

namespace rill::quant {

struct ChatSectionOptions {
  std::string_view form;                ///< "" for the template's own, "none" for no chat, else a form's name
  const std::string* system = nullptr;  ///< the system text instead of the makers'; nullptr keeps theirs
};

struct WrittenChat {
  std::string section;               ///< as parse_chat_section() reads it; empty if the model does not chat
  std::string notice;                ///< where Rill will differ from the template, for the user; mostly empty
  std::optional<Token> end_token{};  ///< one more that ends a reply, which the tokenizer's section should have
};

/// The "chat" section: the form's name or its texts, and the system text that the model's makers put into their
/// template. The template is rendered with conversations whose words are known, and what stands between these words
/// becomes the form; if it is one that has a name, that is written.
/// @param tokenizer_section  of the same file; may be empty if a form is named and there is no template
/// @returns an empty section if the source has no template and no form was named. kBadInput if the template does not
///          lay turns out one behind the other, or is not Jinja as transformers renders it, with the flag that picks a
///          form; kUsage if no form has the name.
Result<WrittenChat> write_chat_section(const ChatTemplate& source, std::span<const std::byte> tokenizer_section,
                                       const ChatSectionOptions& options = {});

/// The two sections that are about text.
struct TextSections {
  std::vector<std::byte> tokenizer;  ///< empty if the model has none
  std::string chat;                  ///< empty if it does not chat, as a model without a tokenizer never does
  std::string notice;                ///< as WrittenChat's
};

/// @param vocabulary  the model's
Result<TextSections> write_text_sections(const SourceModel& source, std::uint32_t vocabulary,
                                         const ChatSectionOptions& options = {});

}  // namespace rill::quant
