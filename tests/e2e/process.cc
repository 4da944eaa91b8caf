#include "tests/e2e/process.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "agora/base/check.h"
#include <sys/resource.h>
#include <sys/wait.h>

namespace agora::e2e {
namespace {

constexpr useconds_t kPollUs = 2000;

void redirect(const std::string& path, int to) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  dup2(file, to);
  close(file);
}

}  // namespace

Process Process::start(const std::vector<std::string>& arguments, const base::TestFolder& scratch,
                       int64_t file_bytes_max, const std::vector<std::string>& through) {
  Process process;
  process.out_ = scratch.path("stdout");
  process.err_ = scratch.path("stderr");
  process.child_ = fork();
  AGORA_CHECK_GE(process.child_, 0);  // kill(-1) would end every process of this user
  if (process.child_ != 0) return process;
  redirect(process.out_, STDOUT_FILENO);
  redirect(process.err_, STDERR_FILENO);
  if (file_bytes_max > 0) {
    signal(SIGXFSZ, SIG_IGN);  // so that write() says EFBIG, as it says ENOSPC on a full disk
    rlimit limit{};
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur =
        static_cast<rlim_t>(file_bytes_max);  // the hard limit stays: make_room() goes back to it
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  std::vector<char*> words;
  for (const std::string& word : through) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(const_cast<char*>(AGORA_BINARY));
  for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execv(words[0], words.data());
  _exit(127);
}

bool Process::wait_for_output(const std::string& text) {
  for (;;) {
    if (read_file(out_).find(text) != std::string::npos) return true;
    if (has_ended()) return read_file(out_).find(text) != std::string::npos;
    usleep(kPollUs);
  }
}

bool Process::has_ended() {
  if (!ended_ && waitpid(child_, &state_, WNOHANG) == child_) ended_ = true;
  return ended_;
}

std::string Process::output() const { return read_file(out_); }
std::string Process::errors() const { return read_file(err_); }

void Process::make_room() {
  rlimit limit{};
  prlimit(child_, RLIMIT_FSIZE, nullptr, &limit);
  limit.rlim_cur = limit.rlim_max;
  prlimit(child_, RLIMIT_FSIZE, &limit, nullptr);
}

void Process::interrupt() {
  if (!ended_) ::kill(child_, SIGINT);
}

void Process::kill() {
  if (!ended_) ::kill(child_, SIGKILL);
}

Outcome Process::finish() {
  if (!ended_) waitpid(child_, &state_, 0);
  ended_ = true;
  return {WIFEXITED(state_) ? WEXITSTATUS(state_) : 128 + WTERMSIG(state_), read_file(out_), read_file(err_)};
}

Outcome run_agora(const std::vector<std::string>& arguments, int64_t file_bytes_max) {
  const base::TestFolder scratch;
  return Process::start(arguments, scratch, file_bytes_max).finish();
}

std::string read_file(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace agora::e2e
