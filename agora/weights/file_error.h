// What atomic files and folders share: errors that name the file, names of temporaries, making a rename last.
//
//   if (::open(...) < 0) return file_error("open", path, errno);    // "cannot open x.txt: Permission denied"
//   const std::string temporary = own_name(path) + ".tmp";          // "x.txt.4711.0.tmp"
//
// Any thread.
#pragma once

#include <string>
#include <string_view>

#include "agora/base/result.h"

namespace agora::weights {

// The code says what to do next: make room, fix the path or its rights, or give up.
Status file_error(std::string_view action, const std::string& path, int error);

// PATH.PID.N: two writers of one path, in this process or another, must not share a temporary.
std::string own_name(const std::string& path);

// Syncs the folder that holds `path`, so that a file made or renamed in it survives a power cut.
Status sync_folder_of(const std::string& path);

}  // namespace agora::weights
