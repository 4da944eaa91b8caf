#include "agora/train/text_files.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "agora/base/text.h"
#include "agora/train/domain_reader.h"

namespace agora::train {

using base::concat;

namespace {

namespace fs = std::filesystem;

constexpr size_t kDomainsMax = 1000;  // tables print one line for each

Status no_text(const std::string& dir, const std::vector<std::string>& notes) {
  std::string message = concat("there is no text to train on in ", dir);
  for (const std::string& note : notes) message += concat("; ", note);
  return absl::InvalidArgumentError(message);
}

struct Entries {
  std::vector<std::string> folders;
  std::vector<std::string> files;
};

StatusOr<Entries> entries_of(const std::string& dir) {
  std::error_code error;
  Entries entries;
  for (fs::directory_iterator it(dir, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().front() == '.') continue;
    std::error_code ignored;
    (it->is_directory(ignored) ? entries.folders : entries.files).push_back(it->path().filename().string());
  }
  if (error) return absl::InvalidArgumentError(concat("cannot read the folder ", dir, ": ", error.message()));
  std::sort(entries.folders.begin(), entries.folders.end());
  std::sort(entries.files.begin(), entries.files.end());
  return entries;
}

}  // namespace

StatusOr<Corpus> read_text_files(const std::string& dir, const TextLimits& limits) {
  std::error_code error;
  const fs::path whole = fs::canonical(dir, error);
  if (error) return absl::InvalidArgumentError(concat("cannot read ", dir, ": ", error.message()));
  DomainReader reader(limits);
  if (!fs::is_directory(whole)) {
    reader.add_file(whole.string());
    reader.read(whole.stem().string());
  } else {
    AGORA_ASSIGN_OR_RETURN(const Entries entries, entries_of(whole.string()));
    if (entries.folders.size() > kDomainsMax) {
      return absl::InvalidArgumentError(concat(dir, " has ", entries.folders.size(),
                                               " folders, each would be a domain; ", "the limit is ",
                                               kDomainsMax, ": put them into fewer"));
    }
    for (const std::string& file : entries.files) reader.add_file((whole / file).string());
    const std::string own = whole.filename().string();
    const bool taken = std::binary_search(entries.folders.begin(), entries.folders.end(), own);
    if (!entries.files.empty()) reader.read(taken || own.empty() ? "." : own);
    for (const std::string& folder : entries.folders) {
      reader.add_folder((whole / folder).string(), [](const std::string&) { return true; });
      reader.read(folder);
    }
  }
  Corpus corpus = reader.take();
  if (corpus.domains.empty()) return no_text(dir, corpus.notes);
  return corpus;
}

}  // namespace agora::train
