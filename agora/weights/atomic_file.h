// Files that are there whole or not at all, and files read back with a limit.
//
//   AGORA_RETURN_IF_ERROR(write_file_atomic("config.json", text));
//
//   AGORA_ASSIGN_OR_RETURN(auto file, AtomicFile::create("model.safetensors"));
//   AGORA_RETURN_IF_ERROR(file->append(bytes));        // any number of times
//   AGORA_RETURN_IF_ERROR(file->commit());             // flush, fsync, rename, fsync of the folder
//
//   AGORA_ASSIGN_OR_RETURN(auto folder, AtomicFolder::create("runs/7", "/training_state.json"));
//   ... write files into folder->path() ...
//   AGORA_RETURN_IF_ERROR(folder->commit());   // the folder appears, or replaces the old one, in one step
//
// Until commit() the old file is untouched; without commit() (an error, a crash, a full disk) the temporary
// is removed or ignored. Every error names the file and the cause. An object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "agora/base/bytes.h"
#include "agora/base/result.h"
#include "agora/weights/folder_claim.h"

namespace agora::weights {

using base::Bytes;

class AtomicFile {
 public:
  // Opens a temporary file beside `path`, named PATH.PID.N.tmp. The folder must exist.
  static StatusOr<std::unique_ptr<AtomicFile>> create(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  Status append(Bytes bytes);                     // buffered, 1 MiB
  Status overwrite(int64_t offset, Bytes bytes);  // bytes already appended; for headers known last
  Status commit();                                // once; after an error only destruction is left
  const std::string& path() const { return path_; }
  int64_t size() const { return size_; }  // bytes appended so far

 private:
  AtomicFile(std::string path, std::string temporary, int descriptor);
  Status flush();

  std::string path_;
  std::string temporary_;  // empty once committed
  int descriptor_;
  int64_t size_ = 0;
  std::string buffer_;
};

// A folder that appears whole. Files are written under path(), a sibling named DIR.agora.PID.N.tmp; one that
// a crash left is removed. What is at the target is replaced only if it is free, or the caller's own: a
// folder that holds the file `mark`. Of two that write one folder at the same time the last one's is there in
// the end, whole.
class AtomicFolder {
 public:
  // Parents are made. InvalidArgument: the target is somebody else's.
  static StatusOr<std::unique_ptr<AtomicFolder>> create(const std::string& target, const std::string& mark);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;

  const std::string& path() const { return temporary_; }
  // Exchanges with an existing target (which is then removed), or renames. InvalidArgument, as above: it
  // became somebody else's meanwhile.
  Status commit();

 private:
  AtomicFolder(std::string target, std::string mark, std::unique_ptr<FolderClaim> claim);

  std::string target_;
  std::string mark_;
  std::string temporary_;
  std::unique_ptr<FolderClaim> claim_;  // of the temporary: it is not a left-over
  bool committed_ = false;
};

// A folder may be written there without a loss: nothing is there by this name, or an empty folder.
bool is_free(const std::string& dir);

Status write_file_atomic(const std::string& path, std::string_view content);

// Something is there by this name, and may be looked at.
bool file_exists(const std::string& path);

// The whole file. Larger than bytes_max, a folder, missing, unreadable: an error that says which.
StatusOr<std::string> read_file(const std::string& path, int64_t bytes_max);

// A file mapped read-only. The bytes live as long as the object. The file must not be truncated meanwhile
// (writers here replace files, they never change them in place).
class MappedFile {
 public:
  static StatusOr<std::unique_ptr<MappedFile>> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  Bytes bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

 private:
  MappedFile(std::string path, Bytes bytes) : path_(std::move(path)), bytes_(bytes) {}

  std::string path_;
  Bytes bytes_;
};

}  // namespace agora::weights
