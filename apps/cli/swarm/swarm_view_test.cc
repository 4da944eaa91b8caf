#include "apps/cli/swarm/swarm_view.h"

#include <algorithm>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/cli/swarm/terminal_screen.h"
#include "apps/cli/terminal_text.h"

namespace agora::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

ProcessView process(const std::string& name, const swarm::PeerState& state,
                    std::map<std::string, double> metrics = {}) {
  ProcessView view{.name = name, .state = ProcessView::State::running};
  view.status.emplace();
  view.status->self.state = state;
  view.status->metrics = std::move(metrics);
  return view;
}

SwarmView small_swarm() {
  SwarmView view{.title = "words", .phase = "training", .seconds = 65};
  view.processes.push_back(process("host 1",
                                   {.host = true,
                                    .held = {{.layer = LayerId{0}, .first = 0, .count = 4, .leads = true},
                                             {.layer = LayerId{0}, .first = 4, .count = 4, .leads = false}},
                                    .load_us = 1500},
                                   {{"agora_calls_received_total", 1000}}));
  view.processes.push_back(process("trainer 1",
                                   {.trainer = true, .step = 12, .loss = 3.0f, .rows_per_s = 100},
                                   {{"agora_calls_sent_total", 500},
                                    {"agora_calls_failed_total", 3},
                                    {"agora_gate_mass_total", 200},
                                    {"agora_gate_mass_lost_total", 1}}));
  view.processes.push_back(
      process("trainer 2", {.trainer = true, .step = 10, .loss = 2.0f, .rows_per_s = 50}));
  view.processes.push_back(
      {.name = "server 1", .state = ProcessView::State::ended, .note = "killed by signal 9"});
  view.losses = {4, 3.5, 3, 2.5};
  return view;
}

TEST(SwarmView, AddsUpWhatRuns) {
  const SwarmTotals totals = totals_of(small_swarm());
  EXPECT_EQ(totals.hosts, 1);
  EXPECT_EQ(totals.trainers, 2);
  EXPECT_EQ(totals.servers, 0);
  EXPECT_EQ(totals.steps, 12u);
  EXPECT_DOUBLE_EQ(totals.loss, 2.5);
  EXPECT_DOUBLE_EQ(totals.rows_per_s, 150);
  EXPECT_EQ(totals.experts_led, 4);
  EXPECT_EQ(totals.experts_held, 8);
  EXPECT_DOUBLE_EQ(totals.calls, 500);
  EXPECT_DOUBLE_EQ(totals.failures, 3);
  EXPECT_DOUBLE_EQ(totals.lost_share(), 0.005);
}

TEST(SwarmView, TheScreenShowsEveryProcess) {
  const std::string screen = swarm_screen(small_swarm(), 120);
  EXPECT_THAT(screen, HasSubstr("words  1 min 05 s  training"));
  EXPECT_THAT(screen, HasSubstr("█▆▃▁ 4.000 → 2.500"));
  EXPECT_THAT(screen, HasSubstr("4/8"));
  EXPECT_THAT(screen, HasSubstr("1.5 ms"));
  EXPECT_THAT(screen, HasSubstr("0.50 %"));
  EXPECT_THAT(screen, HasSubstr("killed by signal 9"));
}

TEST(SwarmView, NoLineIsWiderThanTheTerminal) {
  for (int columns = 60; columns < 160; columns += 9) {
    std::istringstream lines(swarm_screen(small_swarm(), columns));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(display_width(line), columns) << line;
  }
}

TEST(SwarmView, NamesAndNumbersStayWholeInEightyColumns) {
  const std::string screen = swarm_screen(small_swarm(), 80);
  for (const char* whole :
       {"trainer 1", "host 1", "killed by signal 9", "rows/s", "gate weight lost 0.500 %"}) {
    EXPECT_THAT(screen, HasSubstr(whole));
  }
  EXPECT_THAT(screen, Not(HasSubstr("…")));
}

TEST(SwarmView, WhatDoesNotFitIsCounted) {
  SwarmView view = small_swarm();
  for (int i = 0; i < 30; ++i) view.processes.push_back(process("host more", {.host = true}));
  const std::string screen = swarm_screen(view, 80, 24);
  EXPECT_EQ(std::ranges::count(screen, '\n'), 24);
  EXPECT_THAT(screen, HasSubstr("... and 18 more"));
}

TEST(SwarmView, TroubleIsShownWhole) {
  SwarmView view = small_swarm();
  view.troubles = {"trainer 1: the last 5 steps are in no trunk yet: the others take too long"};
  EXPECT_THAT(swarm_screen(view, 80), HasSubstr(view.troubles[0] + "\n"));
}

TEST(SwarmView, TheWholeCurveIsShown) {
  SwarmView view = small_swarm();
  view.losses.assign(500, 4);
  view.losses.insert(view.losses.end(), 500, 2);
  EXPECT_THAT(swarm_screen(view, 80), HasSubstr("██▁▁"));
}

TEST(SwarmView, ALineSaysItAll) {
  const std::string line = swarm_line(small_swarm());
  EXPECT_THAT(line, HasSubstr("1 hosts 2 trainers 0 servers"));
  EXPECT_THAT(line, HasSubstr("loss 2.500  150 rows/s  experts 4 led, 8 held"));
  EXPECT_THAT(line, Not(HasSubstr("\n")));
}

TEST(SwarmView, AnEmptySwarmIsShownToo) {
  EXPECT_THAT(swarm_screen({.title = "new", .phase = "starting"}, 80), HasSubstr("new"));
}

TEST(SwarmView, ForeignNamesSteerNoTerminal) {
  SwarmView view{.title = "\x1b[2J", .phase = "training"};
  EXPECT_THAT(swarm_screen(view, 80), Not(HasSubstr("\x1b")));
}

TEST(Sparkline, ShowsTheLastValues) {
  EXPECT_EQ(sparkline({0, 1, 2, 3, 4, 5, 6, 7, 8}, 4), "▁▃▆█");
  EXPECT_EQ(sparkline({1, 1}, 10), "▁▁");
  EXPECT_EQ(sparkline({}, 10), "");
  EXPECT_EQ(sparkline({1, 2}, -3), "");
}

TEST(Screen, IsDrawnOverAndNeverScrolls) {
  EXPECT_EQ(drawn_in_place("a\nb\n", 10), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J");
  EXPECT_EQ(drawn_in_place("a\nb\nc\n", 2), "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J");
  EXPECT_EQ(drawn_in_place("", 2), "\x1b[H\x1b[J");
}

}  // namespace
}  // namespace agora::cli
