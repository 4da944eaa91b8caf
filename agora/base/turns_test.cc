#include "agora/base/turns.h"

#include <functional>
#include <string>

#include <gtest/gtest.h>

namespace agora::base {
namespace {

class TurnsTest : public ::testing::Test {
 protected:
  Loop::Task says(char letter) {
    return [this, letter] { said_ += letter; };
  }
  void run(int64_t now_ns, int tasks_max = 100) {
    for (int i = 0; i < tasks_max; ++i) {
      auto task = turns_.take(now_ns);
      if (!task) return;
      (*task)();
    }
  }

  Turns turns_;
  std::string said_;
};

TEST_F(TurnsTest, TasksThatComeAgainKeepNoTimerWaiting) {
  std::function<void()> again = [&] {
    said_ += '.';
    turns_.post(again);
  };
  turns_.post(again);
  turns_.at(10, says('t'));
  turns_.at(12, says('u'));
  run(9, 3);
  EXPECT_EQ(said_, "...");
  run(10, 4);
  EXPECT_EQ(said_, "....t..");
  run(12, 3);
  EXPECT_EQ(said_, "....t...u.");
}

TEST_F(TurnsTest, WhatWasPostedBeforeATimerWasDueGoesFirst) {
  turns_.at(10, says('t'));
  turns_.at(11, says('u'));
  turns_.post(says('a'));
  turns_.post([this] {
    said_ += 'b';
    turns_.post(says('c'));
  });
  run(20);
  EXPECT_EQ(said_, "abtuc");
}

TEST_F(TurnsTest, ACancelledTimerNeverRunsThoughItIsDue) {
  const TimerId timer = turns_.at(10, says('t'));
  turns_.post([&] {
    said_ += 'a';
    turns_.cancel(timer);
  });
  turns_.post(says('b'));
  run(10);
  EXPECT_EQ(said_, "ab");
  EXPECT_EQ(turns_.next_ns(), INT64_MAX);
}

TEST_F(TurnsTest, SaysWhenTheNextIsDue) {
  EXPECT_EQ(turns_.next_ns(), INT64_MAX);
  turns_.at(10, says('t'));
  EXPECT_EQ(turns_.next_ns(), 10);
  EXPECT_FALSE(turns_.take(9));
  turns_.post(says('a'));
  EXPECT_EQ(turns_.next_ns(), INT64_MIN);
  turns_.drop_timers();
  run(20);
  EXPECT_EQ(said_, "a");
}

}  // namespace
}  // namespace agora::base
