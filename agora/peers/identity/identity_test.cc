#include "agora/peers/identity/identity.h"

#include "agora/base/test_folder.h"
#include "agora/peers/identity/private_file.h"
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace agora::peers {
namespace {

using base::as_bytes;

class IdentityFile : public testing::Test {
 protected:
  std::string path(const char* name) const { return folder_.path(name); }
  const base::TestFolder folder_;
};

TEST(Identity, SignsWhatOnlyItCanHaveSigned) {
  const Identity me = Identity::generate();
  const Signature signature = me.sign(as_bytes("a record"));
  EXPECT_TRUE(verify(me.public_key(), as_bytes("a record"), signature));
  EXPECT_FALSE(verify(me.public_key(), as_bytes("another record"), signature));
  EXPECT_FALSE(verify(Identity::generate().public_key(), as_bytes("a record"), signature));
  Signature bent = signature;
  bent[5] ^= std::byte{1};
  EXPECT_FALSE(verify(me.public_key(), as_bytes("a record"), bent));
  EXPECT_TRUE(verify(me.public_key(), {}, me.sign({})));
}

TEST(Identity, AKeyThatIsNoPointOfTheCurveVerifiesNothing) {
  PublicKey key;
  key.fill(std::byte{0xff});
  EXPECT_FALSE(verify(key, as_bytes("x"), Signature{}));
}

TEST(Identity, SeedsGiveTheSameKeyEveryTime) {
  EXPECT_EQ(Identity::from_seed(7).id(), Identity::from_seed(7).id());
  EXPECT_NE(Identity::from_seed(7).id(), Identity::from_seed(8).id());
  EXPECT_EQ(Identity::from_seed(258).seed()[0], std::byte{2});
  EXPECT_EQ(Identity::from_seed(258).seed()[1], std::byte{1});
  EXPECT_EQ(Identity::from_seed(7).id(), peer_id_of(Identity::from_seed(7).public_key()));
}

// RFC 8032, section 7.1, test 1 has the seed 9d61...; the same arithmetic with a seed of zeros.
TEST(Identity, IsEd25519AsTheRfcHasIt) {
  const auto key = Identity::from_seed(0).public_key();
  EXPECT_EQ(key[0], std::byte{0x3b});
  EXPECT_EQ(key[1], std::byte{0x6a});
  EXPECT_EQ(key[31], std::byte{0x29});
}

TEST(Identity, TheCertificateHoldsTheKey) {
  const Identity me = Identity::generate();
  const StatusOr<PublicKey> key = public_key_of_certificate(me.certificate_pem());
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(*key, me.public_key());
  EXPECT_FALSE(public_key_of_certificate("").ok());
  EXPECT_FALSE(public_key_of_certificate(me.private_key_pem()).ok());
}

TEST_F(IdentityFile, IsMadeOnceAndOnlyForItsOwner) {
  const StatusOr<Identity> first = Identity::load_or_create(path("key"));
  ASSERT_TRUE(first.ok()) << first.status();
  const StatusOr<Identity> second = Identity::load_or_create(path("key"));
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->id(), second->id());
  EXPECT_EQ(first->seed(), second->seed());
  struct stat info {};
  ASSERT_EQ(::stat(path("key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(folder_.files(), 1);  // nothing temporary is left
}

TEST_F(IdentityFile, IsRefusedIfOthersMayReadIt) {
  ASSERT_TRUE(Identity::load_or_create(path("key")).ok());
  ASSERT_EQ(::chmod(path("key").c_str(), 0640), 0);
  const Status refused = Identity::load_or_create(path("key")).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_NE(refused.message().find(path("key")), absl::string_view::npos);
}

TEST_F(IdentityFile, IsRefusedIfItIsNoKey) {
  ASSERT_TRUE(write_private_file(path("text"), "not a key").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Identity::load_or_create(path("text")).status()));
  ASSERT_TRUE(write_private_file(path("large"), std::string(kPrivateFileBytesMax + 1, 'x')).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(Identity::load_or_create(path("large")).status()));
  EXPECT_TRUE(absl::IsUnavailable(Identity::load_or_create(path("none/key")).status()));
}

TEST_F(IdentityFile, IsNeverOverwritten) {
  ASSERT_TRUE(write_private_file(path("file"), "one").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(write_private_file(path("file"), "two")));
  EXPECT_EQ(*read_private_file(path("file")), "one");
}

}  // namespace
}  // namespace agora::peers
