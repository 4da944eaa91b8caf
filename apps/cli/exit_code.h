// What the process tells its caller: 0 done, 2 the input was at fault (file, flag, data), 1 everything else.
#pragma once

#include <string>

#include "agora/base/result.h"

namespace agora::cli {

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitBadInput = 2;

// Its message with nothing that steers a terminal: other peers have their say in it.
std::string message_for_people(const Status& status);

// Prints "agora: message" to standard error unless status is ok, and gives the exit code that goes with it.
int report(const Status& status);

// At the end: standard output has taken all, or it says so on standard error, and who did well until then has
// failed with the input's code (a full disk). Who reads a pipe may leave before its end, as `head` does.
int exit_code_after_output(int exit_code);

}  // namespace agora::cli
