// What atomic files and folders share: errors that name the file, and making a rename last.
//
//   if (::open(...) < 0) return file_error("open", path, errno);    // "cannot open x.txt: Permission denied"
//
// Any thread.
#pragma once

#include <string>
#include <string_view>

#include "agora/base/result.h"

namespace agora::weights {

// The code says what to do next: make room, fix the path or its rights, or give up.
Status file_error(std::string_view action, const std::string& path, int error);

// Syncs the folder that holds `path`, so that a file made or renamed in it survives a power cut.
Status sync_folder_of(const std::string& path);

}  // namespace agora::weights
