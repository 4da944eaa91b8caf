// Fills a corpus domain by domain from lists of files: fixed order, each content once, only text, within
// limits.
//
//   DomainReader reader(limits);
//   reader.add_folder("python", "/usr/lib/python3", [](const std::string& p) { return p.ends_with(".py"); });
//   reader.read("python");             // what add_folder() and add_file() have collected so far
//   Corpus corpus = reader.take();     // notes say what was left out, one line for each reason
//
// One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agora/train/corpus.h"
#include "agora/train/text_files.h"
#include "agora/weights/hash.h"

namespace agora::train {

class DomainReader {
 public:
  using Wanted = std::function<bool(const std::string& path)>;

  explicit DomainReader(const TextLimits& limits) : limits_(limits) {}

  // Every regular file below `folder`, links followed, each folder visited once; hidden names are left out. A
  // folder that is not there holds nothing.
  void add_folder(const std::string& folder, const Wanted& wanted);
  void add_file(const std::string& path);  // its place in the order is by its name, wherever it lies

  // Reads the collected files as one domain and forgets them.
  void read(const std::string& name);

  Corpus take();

 private:
  struct File {
    std::string path;
    uint64_t order;  // of its name: a part of the files in this order is like the whole
  };
  void add_entries(const std::string& folder, const Wanted& wanted, int depth);
  bool read_file(const File& file, int64_t bytes_max, Document* document);
  void skip(const std::string& reason, const std::string& path);

  TextLimits limits_;
  Corpus corpus_;
  std::vector<File> files_;
  int64_t files_seen_ = 0;
  size_t root_length_ = 0;                           // of the folder that is being added
  std::set<std::pair<uint64_t, uint64_t>> folders_;  // device and inode: a link may lead back up
  std::set<weights::Digest> contents_;               // of all domains
  std::map<std::string, std::pair<int64_t, std::string>> skipped_;  // reason -> how many, the first
};

}  // namespace agora::train
