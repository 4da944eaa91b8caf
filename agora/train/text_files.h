// Text read from the disk: the user's folder, or what any Debian machine holds.
//
//   AGORA_ASSIGN_OR_RETURN(Corpus corpus, read_text_files("notes/", {}));   // a sub-folder is a domain
//   AGORA_ASSIGN_OR_RETURN(Corpus corpus, read_machine_text());             // headers, Python, Perl, ...
//
// Files come in an order fixed by their names below dir (a hash, so that a part of the files is like the
// whole), each content once. What cannot be read as text - binary, unreadable, empty - is skipped with a line
// in Corpus::notes. One thread.
#pragma once

#include <cstdint>
#include <string>

#include "agora/base/result.h"
#include "agora/train/corpus.h"

namespace agora::train {

struct TextLimits {
  int64_t domain_bytes_max = 256'000'000;  // a larger domain is read up to here, in the fixed order
  int64_t file_bytes_max = 64'000'000;     // longer files are cut at a line, with a note
  int64_t domain_bytes_min = 0;            // smaller domains are left out, with a note
  int64_t files_max = 1'000'000;           // looked at in all
};

// Every file under dir: each sub-folder is a domain, files directly in dir are the domain named like dir. dir
// may also be one file. .gz files are unpacked. Missing, not readable or without any text: an error that says
// so.
StatusOr<Corpus> read_text_files(const std::string& dir, const TextLimits& limits);

constexpr TextLimits kMachineLimits = {
    .domain_bytes_max = 4'000'000, .file_bytes_max = 200'000, .domain_bytes_min = 100'000};

// The text of this machine by kind: "c headers", "python", "perl", "shell", "manual pages", "documentation",
// "changelogs", "cmake". A kind that is absent or too small is left out, with a note. root is "/" but for
// tests.
StatusOr<Corpus> read_machine_text(const TextLimits& limits = kMachineLimits, const std::string& root = "/");

}  // namespace agora::train
