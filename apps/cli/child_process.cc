#include "apps/cli/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

namespace agora::cli {
namespace {

// Between fork and exec of a process with threads only what is safe in signal handlers may be called.
[[noreturn]] void become(const ChildSettings& settings, char* const* words, int output, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(127);  // it ended before it could be watched
  setpgid(0, 0);
  dup2(output, STDOUT_FILENO);
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  if (!settings.error_file.empty()) {
    const int file = open(settings.error_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (file >= 0) dup2(file, STDERR_FILENO);
  }
  close_range(STDERR_FILENO + 1, ~0U, 0);  // libraries leave theirs open: a port would live as long as we
  if (settings.file_bytes_max > 0) {
    ::signal(SIGXFSZ, SIG_IGN);  // so that write() says EFBIG, as it says ENOSPC on a full disk
    const auto most = static_cast<rlim_t>(settings.file_bytes_max);
    const rlimit limit{most, most};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  execv(settings.program.c_str(), words);
  _exit(127);
}

}  // namespace

StatusOr<ChildProcess> ChildProcess::start(const ChildSettings& settings) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) {
    return absl::UnavailableError(
        absl::StrCat("expected a pipe for ", settings.program, ": ", std::strerror(errno)));
  }
  std::vector<char*> words{const_cast<char*>(settings.program.c_str())};
  for (const std::string& word : settings.arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) become(settings, words.data(), ends[1], parent);
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    return absl::UnavailableError(
        absl::StrCat("expected a process for ", settings.program, ": ", std::strerror(errno)));
  }
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return ChildProcess(child, ends[0]);
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      output_(std::exchange(other.output_, -1)),
      begun_(std::move(other.begun_)),
      ended_(other.ended_),
      state_(other.state_) {}

ChildProcess& ChildProcess::operator=(ChildProcess&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(output_, other.output_);
  std::swap(begun_, other.begun_);
  std::swap(ended_, other.ended_);
  std::swap(state_, other.state_);
  return *this;
}

ChildProcess::~ChildProcess() {
  close_output();
  if (pid_ <= 0 || ended_) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, &state_, 0);
}

void ChildProcess::close_output() {
  if (output_ >= 0) close(output_);
  output_ = -1;
}

std::vector<std::string> ChildProcess::read_lines() {
  std::vector<std::string> lines;
  char bytes[1 << 16];
  while (output_ >= 0) {
    const ssize_t count = read(output_, bytes, sizeof bytes);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;  // nothing now
    if (count == 0) {
      if (!begun_.empty()) lines.push_back(std::move(begun_));
      begun_.clear();
      close_output();
      break;
    }
    for (const char c : std::string_view(bytes, static_cast<size_t>(count))) {
      if (c != '\n' && begun_.size() < kLineBytesMax) begun_ += c;
      if (c == '\n') lines.push_back(std::exchange(begun_, {}));
    }
  }
  return lines;
}

void ChildProcess::signal(int number) {
  if (!ended()) kill(pid_, number);
}

bool ChildProcess::ended() {
  if (!ended_ && waitpid(pid_, &state_, WNOHANG) == pid_) ended_ = true;
  return ended_;
}

bool ChildProcess::ended_well() const { return ended_ && WIFEXITED(state_) && WEXITSTATUS(state_) == 0; }

std::string ChildProcess::end_text() const {
  if (WIFSIGNALED(state_)) return absl::StrCat("killed by signal ", WTERMSIG(state_));
  if (WEXITSTATUS(state_) == 0) return "ended";
  return absl::StrCat("ended with ", WEXITSTATUS(state_));
}

std::string own_program() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).string();
}

}  // namespace agora::cli
