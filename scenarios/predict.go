package scenarios

func (sc *Scaled) predict() Prediction { return Prediction{} }
