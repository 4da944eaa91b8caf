#include "agora/train/domain_reader.h"

#include <dirent.h>

#include <algorithm>
#include <memory>

#include "agora/base/rng.h"
#include "agora/base/text.h"
#include "agora/train/gzip_file.h"
#include <sys/stat.h>

namespace agora::train {

using base::concat;
using base::in_quotes;

namespace {

constexpr int kDepthMax = 64;
constexpr int64_t kPartBytesMin = 4096;  // a domain is full when only less than this would fit

// FNV-1a, then mixed: names that differ in one letter land far apart.
uint64_t order_of(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return mix_bits(hash);
}

// Text in any encoding of one byte, or UTF-8: no NUL, and hardly any control character that text does not
// use.
bool looks_binary(std::string_view bytes) {
  size_t controls = 0;
  for (const char c : bytes) {
    if (c == '\0') return true;
    controls += (static_cast<uint8_t>(c) < 0x20 &&
                 std::string_view("\t\n\r\f\v\b\x1b").find(c) == std::string_view::npos);
  }
  return controls * 20 > bytes.size();
}

// Drops an unfinished last line, unless that is most of the text.
void cut_at_line(std::string& text) {
  const size_t line = text.rfind('\n');
  if (line != std::string::npos && line >= text.size() / 2) text.resize(line + 1);
}

std::vector<std::string> names_in(const std::string& folder, bool* readable) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  *readable = dir != nullptr;
  std::vector<std::string> names;
  if (!*readable) return names;
  while (const dirent* entry = ::readdir(dir.get())) names.emplace_back(entry->d_name);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

void DomainReader::add_folder(const std::string& folder, const Wanted& wanted) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return;
  root_length_ = folder.size();
  if (folders_.emplace(info.st_dev, info.st_ino).second) add_entries(folder, wanted, 0);
}

void DomainReader::add_entries(const std::string& folder, const Wanted& wanted, int depth) {
  bool readable = false;
  const std::vector<std::string> names = names_in(folder, &readable);
  if (!readable) return skip("folders that can not be read", folder);
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    const std::string path = concat(folder, "/", name);
    struct stat info {};
    if (name.front() == '.') {
      skip("hidden files or folders", path);
    } else if (::stat(path.c_str(), &info) != 0) {
      skip("files that can not be read", path);
    } else if (S_ISDIR(info.st_mode)) {
      if (depth >= kDepthMax) {
        skip(concat("folders more than ", kDepthMax, " deep"), path);
      } else if (folders_.emplace(info.st_dev, info.st_ino).second) {
        add_entries(path, wanted, depth + 1);
      }
    } else if (S_ISREG(info.st_mode) && wanted(path)) {
      if (++files_seen_ > limits_.files_max)
        return skip(concat("files after the first ", limits_.files_max), path);
      files_.push_back({path, order_of(std::string_view(path).substr(root_length_))});
    }
  }
}

void DomainReader::add_file(const std::string& path) {
  files_.push_back({path, order_of(std::string_view(path).substr(path.rfind('/') + 1))});
}

void DomainReader::read(const std::string& name) {
  std::sort(files_.begin(), files_.end(), [](const File& a, const File& b) {
    return a.order != b.order ? a.order < b.order : a.path < b.path;
  });
  Domain domain;
  domain.name = name;
  int64_t left = limits_.domain_bytes_max;
  for (const File& file : files_) {
    Document document;
    if (!read_file(file, std::min(left, limits_.file_bytes_max), &document)) continue;
    left -= static_cast<int64_t>(document.text.size());
    domain.train.push_back(std::move(document));
    if (left < std::min(kPartBytesMin, limits_.file_bytes_max)) break;
  }
  domain.files = static_cast<int64_t>(domain.train.size());
  files_.clear();
  folders_.clear();
  if (domain.files == 0) {
    corpus_.notes.push_back(concat("domain ", in_quotes(name), " left out: no text found for it"));
  } else if (domain.bytes_train() < limits_.domain_bytes_min) {
    corpus_.notes.push_back(concat("domain ", in_quotes(name), " left out: ", domain.bytes_train(),
                                   " bytes of text, at least ", limits_.domain_bytes_min, " are wanted"));
  } else {
    corpus_.domains.push_back(std::move(domain));
  }
}

bool DomainReader::read_file(const File& file, int64_t bytes_max, Document* document) {
  StatusOr<FileStart> start = read_start(file.path, bytes_max);
  if (!start.ok()) return skip("files that can not be read", file.path), false;
  std::string& text = start->bytes;
  if (text.empty()) return skip("empty files", file.path), false;
  if (looks_binary(text)) return skip("binary files", file.path), false;
  if (start->more) {
    cut_at_line(text);
    if (bytes_max == limits_.file_bytes_max) skip(concat("files cut after ", bytes_max, " bytes"), file.path);
  }
  if (!contents_.insert(weights::sha256(base::as_bytes(text))).second) {
    return skip("files with the text of another", file.path), false;
  }
  *document = {file.path, std::move(text)};
  return true;
}

void DomainReader::skip(const std::string& reason, const std::string& path) {
  auto& [count, first] = skipped_[reason];
  if (count++ == 0) first = path;
}

Corpus DomainReader::take() {
  for (const auto& [reason, what] : skipped_) {
    corpus_.notes.push_back(concat(reason, ": ", what.first, ", the first is ", in_quotes(what.second)));
  }
  return std::move(corpus_);
}

}  // namespace agora::train
