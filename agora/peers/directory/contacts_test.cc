#include "agora/peers/directory/contacts.h"

#include <set>

#include "agora/peers/directory/rumors.h"
#include <gtest/gtest.h>

namespace agora::peers {
namespace {

PeerId peer(int number) {
  PeerId id;
  id.bytes[0] = static_cast<std::byte>(number);
  return id;
}

TEST(Contacts, AFewAreChosenAndAFewMayCall) {
  Contacts contacts;
  for (int i = 1; i <= 20; ++i) contacts.choose(peer(i));
  EXPECT_FALSE(contacts.wants_more());
  for (int i = 1; i <= 20; ++i) contacts.on_called_by(peer(i));
  EXPECT_EQ(contacts.all().size(), Contacts::kChosenMax + Contacts::kCallersMax);
  EXPECT_TRUE(contacts.has(peer(1)));
  EXPECT_FALSE(contacts.has(peer(5)));  // silent for longest
  EXPECT_TRUE(contacts.has(peer(20)));
}

TEST(Contacts, TwoAreNeededAndMoreAreWantedWhileFewCall) {
  Contacts contacts;
  contacts.choose(peer(1));
  EXPECT_TRUE(contacts.needs_more());
  contacts.choose(peer(2));
  EXPECT_FALSE(contacts.needs_more());
  EXPECT_TRUE(contacts.wants_more());
  for (int i = 3; i <= 5; ++i) contacts.on_called_by(peer(i));
  EXPECT_FALSE(contacts.wants_more());
}

TEST(Contacts, NobodyIsThereTwice) {
  Contacts contacts;
  contacts.on_called_by(peer(1));
  contacts.choose(peer(1));
  contacts.on_called_by(peer(1));
  EXPECT_EQ(contacts.all().size(), 1u);
  contacts.drop(peer(1));
  EXPECT_TRUE(contacts.empty());
}

TEST(Contacts, DrawsAreOfDifferentPeersAndReachAll) {
  Contacts contacts;
  for (int i = 1; i <= 4; ++i) contacts.choose(peer(i));
  Rng rng(1);
  std::set<PeerId> drawn;
  for (int i = 0; i < 50; ++i) {
    const auto three = contacts.draw(3, rng);
    EXPECT_EQ(std::set(three.begin(), three.end()).size(), 3u);
    drawn.insert(three.begin(), three.end());
  }
  EXPECT_EQ(drawn.size(), 4u);
  EXPECT_EQ(contacts.draw(9, rng).size(), 4u);
}

TEST(Rumors, AreTakenOnceInTheirOrderUpToALimit) {
  Rumors rumors;
  for (uint64_t i = 0; i < 2 * Rumors::kMax; ++i) rumors.add(i / 2);
  EXPECT_EQ(rumors.take(3), (std::vector<uint64_t>{0, 1, 2}));
  EXPECT_EQ(rumors.take(2 * Rumors::kMax).size(), Rumors::kMax - 3);
  EXPECT_TRUE(rumors.empty());
  rumors.add(1);
  EXPECT_FALSE(rumors.empty());
}

}  // namespace
}  // namespace agora::peers
