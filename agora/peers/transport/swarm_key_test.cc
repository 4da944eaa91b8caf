#include "agora/peers/transport/swarm_key.h"

#include <filesystem>

#include "agora/base/test_folder.h"
#include "agora/peers/identity/private_file.h"
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace agora::peers {
namespace {

TEST(SwarmKey, IsReadFromItsOwnersFile) {
  const base::TestFolder folder;
  const std::string path = folder.path("key");
  EXPECT_TRUE(absl::IsNotFound(load_swarm_key(path).status()));
  ASSERT_TRUE(write_private_file(path, std::string(62, '0') + "fF\n").ok());
  const StatusOr<SwarmKey> key = load_swarm_key(path);
  ASSERT_TRUE(key.ok()) << key.status();
  EXPECT_EQ(key->front(), std::byte{0});
  EXPECT_EQ(key->back(), std::byte{0xff});
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  EXPECT_TRUE(absl::IsPermissionDenied(load_swarm_key(path).status()));
  std::filesystem::remove(path);
  ASSERT_TRUE(write_private_file(path, std::string(63, 'a') + "\n").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(load_swarm_key(path).status()));
}

TEST(SwarmKey, AProofIsGoodForOneSubjectOnly) {
  SwarmKey key{}, other{};
  other[0] = std::byte{1};
  ProofSubject subject{
      .prover = {}, .verifier = {}, .prover_nonce = random_nonce(), .verifier_nonce = random_nonce()};
  subject.prover.bytes[0] = std::byte{1};
  const Proof proof = swarm_proof(key, subject);
  EXPECT_TRUE(same_proof(proof, swarm_proof(key, subject)));
  EXPECT_FALSE(same_proof(proof, swarm_proof(other, subject)));
  ProofSubject mirrored{.prover = subject.verifier,
                        .verifier = subject.prover,
                        .prover_nonce = subject.verifier_nonce,
                        .verifier_nonce = subject.prover_nonce};
  EXPECT_FALSE(same_proof(proof, swarm_proof(key, mirrored)));
}

}  // namespace
}  // namespace agora::peers
