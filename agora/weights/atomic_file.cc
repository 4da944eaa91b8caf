#include "agora/weights/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "agora/base/check.h"
#include "agora/weights/file_error.h"
#include <sys/file.h>

namespace agora::weights {

namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;  // one write call per MiB

Status write_all(int descriptor, const std::string& path, const char* data, size_t size, int64_t offset) {
  while (size > 0) {
    const ssize_t written = ::pwrite(descriptor, data, size, offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return file_error("write", path, errno);
    data += written;
    size -= static_cast<size_t>(written);
    offset += written;
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<AtomicFile>> AtomicFile::create(const std::string& path) {
  std::string temporary = own_name(path) + ".tmp";
  const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (descriptor < 0) return file_error("create", path, errno);
  ::flock(descriptor, LOCK_EX | LOCK_NB);  // while it is written; see RealFiles::list
  return std::unique_ptr<AtomicFile>(new AtomicFile(path, std::move(temporary), descriptor));
}

AtomicFile::AtomicFile(std::string path, std::string temporary, int descriptor)
    : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor) {}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status AtomicFile::append(Bytes bytes) {
  size_ += static_cast<int64_t>(bytes.size());
  if (buffer_.empty() && bytes.size() >= kBufferBytes) {
    return write_all(descriptor_, path_, reinterpret_cast<const char*>(bytes.data()), bytes.size(),
                     size_ - static_cast<int64_t>(bytes.size()));
  }
  buffer_.append(base::as_text(bytes));
  return buffer_.size() >= kBufferBytes ? flush() : absl::OkStatus();
}

Status AtomicFile::overwrite(int64_t offset, Bytes bytes) {
  AGORA_CHECK(offset >= 0 && offset + static_cast<int64_t>(bytes.size()) <= size_);
  AGORA_RETURN_IF_ERROR(flush());
  return write_all(descriptor_, path_, reinterpret_cast<const char*>(bytes.data()), bytes.size(), offset);
}

Status AtomicFile::flush() {
  const int64_t offset = size_ - static_cast<int64_t>(buffer_.size());
  AGORA_RETURN_IF_ERROR(write_all(descriptor_, path_, buffer_.data(), buffer_.size(), offset));
  buffer_.clear();
  return absl::OkStatus();
}

Status AtomicFile::commit() {
  AGORA_CHECK(!temporary_.empty());
  AGORA_RETURN_IF_ERROR(flush());
  if (::fsync(descriptor_) != 0) return file_error("sync", path_, errno);
  // Some file systems report a failed write only here.
  if (::close(std::exchange(descriptor_, -1)) != 0) return file_error("write", path_, errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return file_error("replace", path_, errno);
  temporary_.clear();
  return sync_folder_of(path_);
}

Status write_file_atomic(const std::string& path, std::string_view content) {
  AGORA_ASSIGN_OR_RETURN(auto file, AtomicFile::create(path));
  AGORA_RETURN_IF_ERROR(file->append(base::as_bytes(content)));
  return file->commit();
}

}  // namespace agora::weights
