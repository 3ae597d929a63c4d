package flowcontrol

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/storage"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/apiserver/pkg/util/flowcontrol"
	fcrequest "k8s.io/apiserver/pkg/util/flowcontrol/request"
	"k8s.io/apiserver/pkg/util/shufflesharding"
)

func TestShuffleSharding(t *testing.T) {
	if *out == "" {
		t.Skip("no -out given")
	}
	decks := [][2]int{{128, 6}, {64, 6}, {16, 4}, {1, 1}, {8, 8}, {1024, 6}, {3, 2}}
	for i, deck := range decks {
		config := object{"deck_size": deck[0], "hand_size": deck[1]}
		record(t, "apiserver.shuffle_sharding", fmt.Sprintf("deal-%02d", i), uint64(3000+i), config, func(r *trace) {
			dealer, err := shufflesharding.NewDealer(deck[0], deck[1])
			if err != nil {
				t.Fatal(err)
			}
			for range 1500 {
				hash := r.Uint64() >> r.IntN(64)
				r.call("deal", []any{hash}, object{"hand": dealer.DealIntoHand(hash, nil)})
			}
		})
	}
}

func TestDroppedRequests(t *testing.T) {
	if *out == "" {
		t.Skip("no -out given")
	}
	for i := range 4 {
		record(t, "apiserver.dropped_requests", fmt.Sprintf("dropped-%02d", i), uint64(4000+i), object{}, func(r *trace) {
			tracker := flowcontrol.NewDroppedRequestsTracker()
			pause := time.Second
			for range 2600 {
				if r.chance(0.01) {
					pause = pick(r, 10*time.Millisecond, 200*time.Millisecond, 2*time.Second, 20*time.Second)
				}
				r.sleep(r.spread(pause))
				level := pick(r, "workload-low", "workload-low", "global-default")
				tracker.RecordDroppedRequest(level)
				r.call("drop", []any{level}, object{"retry_after_seconds": tracker.GetRetryAfter(level)})
			}
		})
	}
}

func TestWorkEstimators(t *testing.T) {
	if *out == "" {
		t.Skip("no -out given")
	}
	for i, bySize := range []bool{true, true, false, false} {
		if err := utilfeature.DefaultMutableFeatureGate.Set(fmt.Sprintf("SizeBasedListCostEstimate=%v", bySize)); err != nil {
			t.Fatal(err)
		}
		config := object{"by_size": bySize}
		record(t, "apiserver.work_estimator", fmt.Sprintf("estimate-%02d", i), uint64(5000+i), config, playEstimates)
	}
}

func playEstimates(r *trace) {
	var stats storage.Stats
	var known error
	var watchers int
	var maxSeats uint64
	estimate := fcrequest.NewWorkEstimator(
		func(string) (storage.Stats, error) { return stats, known },
		func(*apirequest.RequestInfo) int { return watchers },
		fcrequest.DefaultWorkEstimatorConfig(),
		func(string) uint64 { return maxSeats })
	for range 2600 {
		maxSeats = pick(r, 0, 1+r.Uint64N(120), 1+r.Uint64N(12))
		info := &apirequest.RequestInfo{IsResourceRequest: true, Verb: "update", Resource: "pods", Namespace: "a", Name: "x"}
		if r.chance(0.3) {
			watchers = pick(r, r.IntN(30), r.IntN(5000))
			got := estimate(asked(info, nil), "schema", "level")
			r.call("mutate", []any{watchers, maxSeats}, told3(got))
			continue
		}
		info.Verb, info.Name = "list", ""
		stats = storage.Stats{ObjectCount: int64(r.spread(1000000)), EstimatedAverageObjectSizeBytes: int64(r.spread(2000000))}
		if r.chance(0.1) {
			stats.ObjectCount = 0
		}
		if r.chance(0.1) {
			stats.EstimatedAverageObjectSizeBytes = 0
		}
		stored := stats.ObjectCount
		known = nil
		if r.chance(0.05) {
			known, stored = fcrequest.ObjectCountNotFoundErr, -1
		}
		query := url.Values{}
		limit := 0
		cached := r.chance(0.5)
		if cached { // any state will do: the cache answers, page size or not
			query.Set("resourceVersion", "0")
		}
		if r.chance(0.5) {
			limit = 1 + r.IntN(2000)
			query.Set("limit", strconv.Itoa(limit))
		}
		if !cached { // the rest of a list that was begun: from etcd
			query.Set("continue", "token")
		}
		selector, one := r.chance(0.3), r.chance(0.1)
		if selector {
			query.Set("labelSelector", "a=b")
		}
		if one {
			info.Name = "x"
		}
		got := estimate(asked(info, query), "schema", "level")
		args := []any{stored, stats.EstimatedAverageObjectSizeBytes, limit, cached, selector, one, maxSeats}
		r.call("list", args, told3(got))
	}
}

func asked(info *apirequest.RequestInfo, query url.Values) *http.Request {
	request := httptest.NewRequest("GET", "/api/v1/pods?"+query.Encode(), nil)
	return request.WithContext(apirequest.WithRequestInfo(request.Context(), info))
}

func told3(got fcrequest.WorkEstimate) object {
	return object{"seats": got.InitialSeats, "final_seats": got.FinalSeats, "extra_ns": int64(got.AdditionalLatency)}
}
