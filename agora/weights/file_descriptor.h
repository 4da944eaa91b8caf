// A file descriptor that closes itself.
//
//   const FileDescriptor file(::open(path, O_RDONLY | O_CLOEXEC));
//   if (!file.valid()) return file_error("open", path, errno);
//
// Belongs to one thread at a time.
#pragma once

#include <unistd.h>

namespace agora::weights {

class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  ~FileDescriptor() {
    if (valid()) ::close(descriptor_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  bool valid() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace agora::weights
