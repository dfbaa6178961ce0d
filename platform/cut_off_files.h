#pragma once
// A mapped file that somebody makes shorter while it is in use: the pages are gone, and touching one raises SIGBUS,
// which would end the process without a word. Programs that say so here end with a sentence and exit code 1.

#include <cstddef>
#include <span>
#include <string_view>

namespace rill {

/// From now on a fault inside a mapped file ends the process with exit code 1 and a sentence on standard error that
/// names the file. A SIGBUS of any other origin does what it always did. Call once, before threads are started.
/// @param program  what the sentence begins with; static text
void report_cut_off_files(std::string_view program);

/// A mapping that the report covers, from here to its end. Fewer than 64 at a time are watched, the others go without.
/// @param name  borrowed for the call, cut at 255 characters
void watch_mapping(std::span<const std::byte> mapping, std::string_view name);
/// Before it is unmapped: what lies there afterwards is another's.
void forget_mapping(std::span<const std::byte> mapping);

}  // namespace rill
