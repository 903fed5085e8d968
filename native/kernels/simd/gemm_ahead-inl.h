// What a micro-kernel asks for while it multiplies: GemmTile::next, one line for each step of k.

class Ahead {
 public:
  // Without anything wanted: `near`, which is there. An address without memory would be looked up again and
  // again.
  HEEDFUL_INLINE Ahead(const GemmTile& tile, int64_t steps, const float* near)
      : next_(tile.next && tile.next->total > 0 ? tile.next : nullptr),
        steps_(steps),
        wanted_(next_ ? next_->at : reinterpret_cast<const char*>(near)),
        step_(next_ ? next_->step : 0),
        left_(next_ ? next_->left : steps + 1) {}

  HEEDFUL_INLINE void Step() {
    Prefetch(wanted_);
    wanted_ += step_;
    if (--left_ == 0) {
      wanted_ += next_->jump;
      left_ = next_->run;
    }
  }

  HEEDFUL_INLINE void Finish() {
    if (!next_) return;
    next_->at = wanted_;
    next_->left = left_;
    next_->total -= steps_;
  }

 private:
  GemmPrefetch* next_;
  int64_t steps_;
  const char* wanted_;
  int64_t step_, left_;
};
