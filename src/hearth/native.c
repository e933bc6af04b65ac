/* The hot path of a price in compiled code: boosted trees, and kernel means of neighbours' residuals.
 *
 * levels.py, masks.py and neighbours.py say what is computed, and compute the same themselves where this is not there, to
 * the last bit: sums are taken in numpy's order, and no multiplication is fused with an addition (-ffp-contract=off).
 * Plain C without Python's headers: one library serves every Python. native.py loads it and lays out the structs.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef HEARTH_SOURCE
#define HEARTH_SOURCE ""
#endif

/* Vectors of GCC and Clang, of the size that every 64-bit processor has. */
typedef float Floats __attribute__((vector_size(16)));
typedef uint32_t Words32 __attribute__((vector_size(16)));
typedef uint64_t Words64 __attribute__((vector_size(32)));
typedef int64_t Truths64 __attribute__((vector_size(32)));

enum { ROWS = 16, ALIGNED = 64 }; /* so many rows are evaluated together */
enum { NEAREST_MAX = 1024 }; /* neighbours.py asks numpy for more */

/* A question sends a row whose value is above its threshold to the right. Its mark is a bit of the leaf's number where a tree
 * asks one question a level, and else the leaves that going right rules out. */
typedef struct {
    int64_t trees, splits, leaves, features, leveled; /* leveled: one question a level */
    const uint16_t *feature;         /* (trees, splits): a tree's questions */
    const float *threshold;          /* (trees, splits) */
    const uint8_t *right_if_missing; /* (trees, splits), or none */
    const uint64_t *mark;            /* (trees, splits) */
    const int64_t *asked;            /* (trees,): how many of its places hold a question */
    const int64_t *first;            /* (features + 1,): where the questions on each begin, which follow by threshold: */
    const float *upward;             /* (questions,) */
    const uint32_t *of_tree;         /* (questions,) */
    const uint8_t *missing;          /* (questions,): whether a missing value goes right */
    const uint64_t *marked;          /* (questions,) */
    const double *leaf;              /* (trees, leaves) */
    int64_t ensembles;
    const int64_t *ends; /* (ensembles,): where the trees of each end */
    uint64_t *out;       /* (trees,) for a row alone */
    double *scratch;     /* (ROWS, trees) leaves, and (features, ROWS) floats after them */
} Trees;

typedef struct {
    int64_t columns, means, count; /* count: nearest sales that are looked at */
    const double *east, *north;    /* (sales,) */
    const double *like;            /* (sales, columns) */
    const double *residual;        /* (sales,) */
    const double *softening;       /* (means,) */
    const uint8_t *alike, *fourth; /* (means,): whether likeness counts, whether the power is 4 */
    double twin;
} Means;

typedef struct {
    const int32_t *numbers; /* of the sales of a square, ascending */
    int64_t sales;
} Square;

const char *hearth_source(void) { return HEARTH_SOURCE; }

/* numpy's pairwise sum: Higham (1993), The accuracy of floating point summation. */
static double sum(const double *values, int64_t count) {
    if (count < 8) {
        double found = 0;
        for (int64_t i = 0; i < count; i++) found += values[i];
        return found;
    }
    if (count <= 128) {
        double r[8];
        int64_t i;
        memcpy(r, values, sizeof r);
        for (i = 8; i < count - count % 8; i += 8)
            for (int k = 0; k < 8; k++) r[k] += values[i + k];
        double found = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        for (; i < count; i++) found += values[i];
        return found;
    }
    int64_t half = count / 2;
    half -= half % 8;
    return sum(values, half) + sum(values + half, count - half);
}

static void add_up(const Trees *t, const double *leaves, double *found, int64_t rows) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t e = 0, start = 0; e < t->ensembles; start = t->ends[e++])
            found[row * t->ensembles + e] += sum(leaves + row * t->trees + start, t->ends[e] - start);
}

/* Return the first place of a vector at or after an address; a struct's scratch has room for that. */
static float *after(double *place) {
    return (float *)(((uintptr_t)place + ALIGNED - 1) / ALIGNED * ALIGNED);
}

/* Turn a block of rows, so that a question is asked of all of them at once; tell whether a value is missing. */
static int turn(const Trees *t, const float *inputs, int64_t rows, float *column) {
    int missing = 0;
    for (int64_t f = 0; f < t->features; f++)
        for (int64_t row = 0; row < ROWS; row++) {
            float value = inputs[(row < rows ? row : 0) * t->features + f];
            missing |= value != value;
            column[f * ROWS + row] = value;
        }
    return missing;
}

/* Ask all questions of a row alone, by feature: those with a threshold below its value are a run of them, the rest need no
 * look. Lucchese et al. (2015), QuickScorer. */
static void ask(const Trees *t, const float *inputs) {
    memset(t->out, 0, (size_t)t->trees * sizeof *t->out);
    for (int64_t f = 0; f < t->features; f++) {
        float value = inputs[f];
        int64_t end = t->first[f + 1];
        if (value != value)
            for (int64_t q = t->first[f]; q < end; q++) t->out[t->of_tree[q]] |= t->missing[q] ? t->marked[q] : 0;
        else
            for (int64_t q = t->first[f]; q < end && t->upward[q] < value; q++) t->out[t->of_tree[q]] |= t->marked[q];
    }
}

/* Return the leaf that the marks of a tree lead to: their number, or the first that none of them rules out. */
static inline int64_t leaf_of(const Trees *t, uint64_t out) { return t->leveled ? (int64_t)out : __builtin_ctzll(~out); }

/* Ask all questions of a tree of a block of rows; write their marks. */
typedef void Asked(const Trees *t, int64_t s, int64_t count, const float *column, void *out);
#define ASKED(name, attribute, F, W, word, truths, right)                                              \
    attribute static void name(const Trees *t, int64_t s, int64_t count, const float *column, void *out) { \
        enum { N = ROWS * sizeof(float) / sizeof(F) };                                                 \
        W marked[N] = {{0}};                                                                           \
        for (int64_t end = s + count; s < end; s++) {                                                  \
            const F *value = (const F *)(column + t->feature[s] * ROWS);                               \
            const float threshold = t->threshold[s];                                                   \
            const word mark = (word)t->mark[s];                                                        \
            for (int n = 0; n < N; n++) marked[n] |= truths(right(value[n])) & mark;                   \
        }                                                                                              \
        memcpy(out, marked, sizeof marked);                                                            \
    }
#define TRUTHS_32(truths) ((__typeof__(marked[0]))(truths))
#define TRUTHS_64(truths) ((Words64)__builtin_convertvector(truths, Truths64))
#define ABOVE(value) ((value) > threshold)
#define ABOVE_OR_MISSING(value) (((value) > threshold) | (((value) != (value)) & -(int32_t)t->right_if_missing[s]))

ASKED(asked_32, , Floats, Words32, uint32_t, TRUTHS_32, ABOVE)
ASKED(asked_64, , Floats, Words64, uint64_t, TRUTHS_64, ABOVE)
ASKED(asked_missing_32, , Floats, Words32, uint32_t, TRUTHS_32, ABOVE_OR_MISSING)
ASKED(asked_missing_64, , Floats, Words64, uint64_t, TRUTHS_64, ABOVE_OR_MISSING)
#if defined(__x86_64__) && !defined(HEARTH_NARROW) /* whose later processors compare twice as many at a time */
#define WIDE
#endif
#ifdef WIDE
typedef float Wide __attribute__((vector_size(32)));
typedef uint32_t WideWords __attribute__((vector_size(32)));
ASKED(asked_wide, __attribute__((target("avx2"))), Wide, WideWords, uint32_t, TRUTHS_32, ABOVE)
#endif

static Asked *asked(int few, int missing) {
#ifdef WIDE
    if (few && !missing && __builtin_cpu_supports("avx2")) return asked_wide;
#endif
    return few ? (missing ? asked_missing_32 : asked_32) : missing ? asked_missing_64 : asked_64;
}

/* Add the sums of trees to found (rows, ensembles); 32 bits a row are asked faster than 64. */
void hearth_trees(const Trees *t, const float *inputs, int64_t rows, double *found) {
    double *leaves = t->scratch;
    float *column = after(leaves + ROWS * t->trees);
    if (rows == 1) {
        ask(t, inputs);
        for (int64_t tree = 0; tree < t->trees; tree++) leaves[tree] = t->leaf[tree * t->leaves + leaf_of(t, t->out[tree])];
        add_up(t, leaves, found, 1);
        return;
    }
    for (int64_t start = 0; start < rows; start += ROWS) {
        int64_t some = rows - start < ROWS ? rows - start : ROWS;
        int few = t->splits < 32, missing = turn(t, inputs + start * t->features, some, column) && t->right_if_missing;
        Asked *ask_all = asked(few, missing);
        for (int64_t tree = 0, s = 0; tree < t->trees; tree++, s += t->splits) {
            const double *leaf = t->leaf + tree * t->leaves;
            if (few) {
                uint32_t out[ROWS];
                ask_all(t, s, t->asked[tree], column, out);
                for (int row = 0; row < ROWS; row++) leaves[row * t->trees + tree] = leaf[leaf_of(t, out[row])];
            } else {
                uint64_t out[ROWS];
                ask_all(t, s, t->asked[tree], column, out);
                for (int row = 0; row < ROWS; row++) leaves[row * t->trees + tree] = leaf[leaf_of(t, out[row])];
            }
        }
        add_up(t, leaves, found + start * t->ensembles, some);
    }
}

/* Return the value that stands at `place` when `count` values stand in order: Hoare (1961), Algorithm 65: FIND.
 * Nothing here is guessed by the processor: values are swapped always, and what moves on is a count. */
static double ranked(double *values, int64_t count, int64_t place) {
    int64_t low = 0, high = count; /* it is among those from low to below high */
    while (high - low > 1) { /* which ends, for no value is missing: neighbours.py leaves houses without a place out */
        double a = values[low], b = values[low + (high - low) / 2], c = values[high - 1];
        double pivot = a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
        int64_t smaller = low, same;
        for (int64_t i = low; i < high; i++) {
            double value = values[i];
            values[i] = values[smaller];
            values[smaller] = value;
            smaller += value < pivot;
        }
        if (place < smaller) {
            high = smaller;
            continue;
        }
        same = smaller;
        for (int64_t i = smaller; i < high; i++) {
            double value = values[i];
            values[i] = values[same];
            values[same] = value;
            same += value == pivot;
        }
        if (place < same) return pivot;
        low = same;
    }
    return values[low];
}

/* Take the nearest sales of a square, ascending by number; of several alike, the first. Return how many they are. */
static int64_t nearest(const Means *m, const Square *square, const double *house, double *scratch, double *near, int32_t *number) {
    int64_t sales = square->sales, wanted = m->count, count = 0, tied;
    double *away = scratch, *order = scratch + sales, last;
    for (int64_t i = 0; i < sales; i++) {
        double east = m->east[square->numbers[i]] - house[0], north = m->north[square->numbers[i]] - house[1];
        away[i] = east * east + north * north;
    }
    if (sales <= wanted) {
        memcpy(near, away, (size_t)sales * sizeof *near);
        memcpy(number, square->numbers, (size_t)sales * sizeof *number);
        return sales;
    }
    memcpy(order, away, (size_t)sales * sizeof *order);
    last = ranked(order, sales, wanted - 1);
    for (int64_t i = 0; i < sales; i++) count += away[i] < last;
    tied = wanted - count; /* so many of them are taken */
    count = 0;
    for (int64_t i = 0; i < sales; i++) {
        int same = away[i] == last && tied > 0;
        near[count] = away[i];
        number[count] = square->numbers[i];
        tied -= same;
        count += same | (away[i] < last);
    }
    return count;
}

/* Write the means of each house (houses, means); a house is east, north and its likeness, all in km.
 * `scratch` has room for two numbers a sale of the largest square. */
void hearth_means(const Means *m, const double *house, const Square *square, int64_t houses, double *scratch, double *found) {
    int64_t columns = m->columns, width = columns + 2;
    for (int64_t h = 0; h < houses; h++, house += width, square++, found += m->means) {
        double near[NEAREST_MAX + 1], alike[NEAREST_MAX], half[NEAREST_MAX], weight[NEAREST_MAX], part[NEAREST_MAX];
        int32_t number[NEAREST_MAX + 1]; /* one more, since the next place is written before it is known whether it stays */
        int64_t count = nearest(m, square, house, scratch, near, number);
        for (int64_t i = 0; i < count; i++) {
            const double *like = m->like + number[i] * columns;
            double unlike = 0;
            for (int64_t c = 0; c < columns; c++) {
                double difference = like[c] - house[2 + c];
                unlike += difference * difference;
            }
            alike[i] = unlike + near[i];
            half[i] = alike[i] / (alike[i] + m->twin);
        }
        for (int64_t k = 0; k < m->means; k++) {
            const double *distance = m->alike[k] ? alike : near;
            for (int64_t i = 0; i < count; i++) {
                double w = 1 / (distance[i] + m->softening[k]);
                w *= w;
                if (m->fourth[k]) w *= w;
                weight[i] = w * half[i];
                part[i] = weight[i] * m->residual[number[i]];
            }
            double total = sum(weight, count);
            found[k] = sum(part, count) / (total > 1e-300 ? total : 1e-300); /* without any but itself: 0 */
        }
    }
}
