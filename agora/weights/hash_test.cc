#include "agora/weights/hash.h"

#include "gtest/gtest.h"

namespace agora::weights {
namespace {

// FIPS 180-2, appendix B.1.
TEST(Sha256, KnownAnswer) {
  EXPECT_EQ(sha256_hex(base::as_bytes("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, PartsGiveTheHashOfTheWhole) {
  Sha256 hash;
  hash.update(base::as_bytes("a"));
  hash.update({});
  hash.update(base::as_bytes("bc"));
  EXPECT_EQ(hash.finish(), sha256(base::as_bytes("abc")));
}

}  // namespace
}  // namespace agora::weights
