// A folder that is kept for one writer, before anything is in it.
//
//   AGORA_ASSIGN_OR_RETURN(auto claim, FolderClaim::take("runs/7"));   // made if it is not there
//   if (!is_free(claim->path())) ...                                   // whoever had it before has filled it
//
// The claim ends with the object, or with the process however that ends; a folder that it made and that is
// still empty goes with it. Where another folder has been put in its place meanwhile (AtomicFolder::commit)
// that one is not claimed. One thread at a time.
#pragma once

#include <memory>
#include <string>

#include "agora/base/result.h"
#include "agora/weights/file_descriptor.h"

namespace agora::weights {

class FolderClaim {
 public:
  // Parents are made too. FailedPrecondition: somebody else has claimed it. Unimplemented: may have; it was
  // there already, and its file system has no locks for folders. Other errors: what the disk said.
  static StatusOr<std::unique_ptr<FolderClaim>> take(const std::string& dir);
  ~FolderClaim();
  FolderClaim(const FolderClaim&) = delete;
  FolderClaim& operator=(const FolderClaim&) = delete;

  const std::string& path() const { return path_; }

 private:
  FolderClaim(std::string path, bool made);
  Status lock() const;

  const std::string path_;
  bool made_;
  const FileDescriptor folder_;  // locked
};

}  // namespace agora::weights
