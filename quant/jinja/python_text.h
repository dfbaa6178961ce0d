#pragma once
// What Python's str does, over UTF-8 that is known to be valid.

#include <cstdint>
#include <string>
#include <string_view>

namespace rill::quant::jinja {

/// The character at the front. @param text  not empty
std::string_view first_of(std::string_view text);
bool is_utf8(std::string_view text);

std::int64_t count_characters(std::string_view text);
/// The bytes before character `index`; all of them if there are fewer.
std::size_t offset_of(std::string_view text, std::int64_t index);

/// str.lstrip() and rstrip(). @param chars  nullptr: whitespace
std::string_view strip_left(std::string_view text, const std::string_view* chars = nullptr);
std::string_view strip_right(std::string_view text, const std::string_view* chars = nullptr);

/// First place of a part, or npos. In linear time, whatever the part: std::string_view::find() is not.
std::size_t find_part(std::string_view text, std::string_view part);

/// Case is known for ASCII only: others are refused by name.
std::string upper(std::string_view text);
std::string lower(std::string_view text);
std::string capitalize(std::string_view text);  ///< the first character up, the others down
std::string title(std::string_view text);       ///< str.title(): so for every run of letters

}  // namespace rill::quant::jinja
