// A program that this process starts, listens to and ends.
//
//   AGORA_ASSIGN_OR_RETURN(ChildProcess host, ChildProcess::start({.program = own_program(),
//                                                                  .arguments = {"host", "--json"},
//                                                                  .error_file = "runs/x/host-1.log"}));
//   for (const std::string& line : host.read_lines()) ...     // what it has printed since; never waits
//   host.signal(SIGINT);   if (host.ended()) ... host.end_text();
//
// The child has a process group of its own: Ctrl-C reaches the parent alone, which then asks the child. Of
// the parent's open files it has none but the three standard streams. When the thread that started it ends,
// however it ends, the system sends the child SIGTERM; several times where a process with several threads is
// killed, for the child is handed from one to the next. The destructor kills what still runs. One thread at a
// time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agora/base/result.h"
#include <sys/types.h>

namespace agora::cli {

struct ChildSettings {
  std::string program;
  std::vector<std::string> arguments;
  std::string error_file;      // standard error is appended to it; empty: the parent's
  int64_t file_bytes_max = 0;  // what it may write to one file (tests: a full disk); 0: no limit
};

class ChildProcess {
 public:
  static constexpr size_t kLineBytesMax = 1 << 20;  // a longer line is cut there

  // Unavailable: no process or pipe could be had. A program that can not be run ends with 127.
  static StatusOr<ChildProcess> start(const ChildSettings& settings);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&& other) noexcept;
  ~ChildProcess();

  pid_t pid() const { return pid_; }
  int output() const { return output_; }  // the pipe's end, for poll()
  std::vector<std::string> read_lines();
  void signal(int number);
  bool ended();
  // After the end: "ended", "ended with 2", "killed by signal 9".
  std::string end_text() const;
  bool ended_well() const;  // ended, with 0

 private:
  ChildProcess(pid_t pid, int output) : pid_(pid), output_(output) {}
  void close_output();

  pid_t pid_ = -1;
  int output_ = -1;
  std::string begun_;  // a line without its end yet
  bool ended_ = false;
  int state_ = 0;  // as waitpid gives it
};

// The file that this process runs.
std::string own_program();

}  // namespace agora::cli
