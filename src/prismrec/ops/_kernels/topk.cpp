// The k best of many scores, row by row, on the calling thread: rankings already use one thread per block of users.

#include <cstring>
#include <limits>

#include "common.h"

namespace {

// Keys ascend as scores descend. Of equal scores, the lower item number has the lower key, as in topk.py.
using Key = std::int64_t;

constexpr Key NO_ITEM = Key{0x7F800000} << 32;  // the key of score -inf

// Bits of floats to integers in the same order; its own inverse.
std::int32_t swap_order(std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7FFFFFFF); }

Key key_of(float score, Index item) {
    const float negated = 0.0f - score;
    std::int32_t bits;
    std::memcpy(&bits, &negated, sizeof bits);
    return static_cast<Key>(static_cast<std::uint64_t>(static_cast<std::uint32_t>(swap_order(bits))) << 32) | item;
}

float score_of(Key key) {
    const std::int32_t bits = swap_order(static_cast<std::int32_t>(key >> 32));
    float negated;
    std::memcpy(&negated, &bits, sizeof negated);
    return 0.0f - negated;
}

// Buffers for one row.
struct Selection {
    std::vector<float> best;           // maximum of each group of items
    std::vector<unsigned char> above;  // whether an item reaches the bound; padded by 8 bytes
    std::vector<Key> found;

    Selection(Index n, Index k) : best(std::min(2 * k, n)), above(n + 8), found(n + k) {}
};

// A bound that at least k scores reach: the k-th best of the maxima of k or more groups.
INLINE float bound_of(const float* scores, Index n, Index k, std::vector<float>& best) {
    const Index groups = static_cast<Index>(best.size());
    if (groups < k) return std::numeric_limits<float>::lowest();
    float* most = best.data();
    std::copy(scores, scores + groups, most);
    for (Index start = groups; start < n; start += groups) {
        const float* part = scores + start;
        const Index width = std::min(groups, n - start);
        for (Index j = 0; j < width; ++j) most[j] = part[j] > most[j] ? part[j] : most[j];
    }
    std::nth_element(most, most + (groups - k), most + groups);
    return std::max(most[groups - k], std::numeric_limits<float>::lowest());  // -inf marks an excluded item
}

template <typename Score>
PER_INSTRUCTION_SET void best_of_rows(const Score* scores, Index rows, Index n, Index first, Index k, Key* keys) {
    Selection room(n, k);
    unsigned char* above = room.above.data();
    for (Index row = 0; row < rows; ++row, scores += n, keys += k) {
        Key *begin = room.found.data(), *end = std::copy_if(keys, keys + k, begin, [](Key key) { return key != NO_ITEM; });
        Key* added = end;
        // If k items were found before, the worst of them is the bound.
        const float bound = end - begin == k ? score_of(keys[k - 1]) : bound_of(scores, n, k, room.best);
        for (Index j = 0; j < n; ++j) above[j] = scores[j] >= bound;
        for (Index start = 0; start < n; start += 8) {
            std::uint64_t any;
            std::memcpy(&any, above + start, sizeof any);
            if (!any) continue;
            for (Index j = start; j < std::min(start + 8, n); ++j)
                if (above[j]) *end++ = key_of(scores[j], first + j);
        }
        if (end - added > 2 * k) {  // many ties, or many better scores than before
            std::nth_element(added, added + k, end);
            end = added + k;
        }
        std::sort(added, end);
        Key *old = begin, *out = keys;
        for (Key* fresh = added; out < keys + k && (old < added || fresh < end); ++out)
            *out = fresh == end || (old < added && *old < *fresh) ? *old++ : *fresh++;
        std::fill(out, keys + k, NO_ITEM);
    }
}

}  // namespace

extern "C" int top_k_keys_float(const float* scores, Index rows, Index n, Index first, Index k, Key* keys) {
    best_of_rows(scores, rows, n, first, k, keys);
    return 1;
}
