#pragma once
// The folder that a file's name stands in.

#include <string>
#include <string_view>

#include "platform/status.h"

namespace rill {

/// What comes before the last part of a path, with its slash; "." if there is nothing.
std::string folder_of(std::string_view path);

/// A new name in a folder is on the disk only when the folder is. A file system that cannot sync a folder, and a folder
/// that may not be read, are no failure; a device that fails is.
Status sync_folder_of(std::string_view path);

}  // namespace rill
